// Who is it? Forms for a caller whose number is several people's, or nobody's. Rows of FORMS in forms.js.
import { t } from "../i18n.js";
import { html } from "../ui.js";
import { personText } from "./card.js";
import { Line, Pick, Text } from "./fields.js";

const LIMIT = 120; // characters of name and address, as the core has it

const said = (text) => Boolean(text?.trim());

function Identify({ data, values, set }) {
  if (!data) return html`<p class="quiet">${t("form.loading")}</p>`;
  return html`<fieldset class="field candidates who"><legend>${t("person.which", { n: data.persons.length })}<b class="required">*</b></legend>
    ${data.persons.map((one, i) => html`<label key=${one.id}><input type="radio" name="person" value=${one.id} checked=${values.person === one.id} onChange=${() => set("person", one.id)} />
      ${i < 9 && html`<kbd>${i + 1}</kbd>`} <b>${one.name}</b> <span>${personText(one)}</span></label>`)}
  </fieldset>`;
}

function Record(props) {
  const areas = (props.data?.areas ?? []).map((one) => [one.id, one.of ? `${one.of} ${one.name}` : one.name]);
  return html`<${Line} name="record_name" limit=${LIMIT} ...${props} />
    <${Line} name="address" limit=${LIMIT} ...${props} />
    ${areas.length > 0 && html`<${Pick} name="area" options=${areas} ...${props} />`}
    <${Text} name="what" rows=${2} limit=${500} ...${props} />
    <p class="quiet small">${t("record.explain")}</p>`;
}

export const CALLER_FORMS = {
  identify: {
    waits: true,
    fields: Identify,
    digits: (data) => (data?.persons ?? []).map((one) => ({ person: one.id })),
    check: (values) => (values.person ? null : "missing_person"),
    body: (values) => ({ person: values.person }),
  },
  record: {
    waits: true,
    fields: Record,
    start: (data) => {
      const known = data?.record && !data.record.masked ? data.record : null;
      return known ? { record_name: known.name, address: known.address, what: known.what, area: known.area ?? "" } : {};
    },
    check: (values) => (said(values.record_name) || said(values.address) || said(values.what) ? null : "missing_address"),
    body: (values) => Object.fromEntries(
      Object.entries({ name: values.record_name, address: values.address, area: values.area, what: values.what }).filter(([, text]) => said(text)),
    ),
  },
};
