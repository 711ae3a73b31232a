"""The page's pure modules (clock, store, alarm, keys, grid), imported inside a page and asked questions."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.console.browser import ServedHouse

# name: (script, what it returns). `import` is the page's own: no Node is needed.
QUESTIONS: dict[str, tuple[str, object]] = {
    "countdown": (
        """
        const {countdown} = await import('/static/clock.js');
        return [countdown(12000, 0), countdown(0, 110000), countdown(3900000, 0), countdown(3 * 86400000, 0)];
        """,
        ["00:12", "-01:50", "1h05", "3d"],
    ),
    "the day is shown when it is not today": (
        """
        const {clockTime} = await import('/static/clock.js');
        const today = Date.parse('2026-11-21T06:03:27Z');
        return [clockTime('2026-11-21T06:03:27Z', today), clockTime('2026-11-20T06:03:27Z', today)];
        """,
        ["14:03:27", "11-20 14:03:27"],
    ),
    "order: severity, deadline, id; closed last": (
        """
        const store = await import('/static/store.js');
        const state = store.emptyState();
        const row = (id, severity, at, name = 'raised') =>
          ({type: 'incident', id, version: 1, severity, state: name, due: at && {name: 'acknowledge', at: `2026-01-01T00:00:${at}Z`}});
        store.applyFrame(state, {items: [row('e', 'major', '00'), row('d', 'critical', null), row('c', 'critical', '09'),
          row('b', 'critical', '01'), row('a', 'critical', '09'), row('z', 'critical', null, 'closed')]});
        return [...state.incidents.values()].sort(store.compareIncidents).map((one) => one.id).join('');
        """,
        "bacdez",
    ),
    "an older row never wins; gone and reset": (
        """
        const {applyFrame, emptyState} = await import('/static/store.js');
        const state = emptyState();
        const row = (id, version) => ({type: 'incident', id, version});
        applyFrame(state, {epoch: 'k', rev: 3, items: [row('a', 5), row('b', 1)]});
        applyFrame(state, {rev: 4, items: [row('a', 4)], gone: ['incident:b']});
        const first = [state.epoch, state.rev, state.incidents.get('a').version, state.incidents.has('b')];
        applyFrame(state, {epoch: 'l', rev: 1, reset: true, items: [row('c', 1)]});
        return [...first, [...state.incidents.keys()].join()];
        """,
        ["k", 4, 5, False, "c"],
    ),
    "an alarm is a function of the store": (
        """
        const {heardRows, hush, wanted} = await import('/static/alarm.js');
        const now = 1e6;
        const row = (id, severity, state = 'raised', cries = 1, more = {}) => ({id, severity, state, cries,
          opened_at: new Date(now - 40000).toISOString(), ...more});
        const level = (rows, quiet = null, at = now, joins = false) => wanted({heard: heardRows(rows), hush: quiet, now: at, joins}).level;
        const sos = [row('a', 'critical')];
        const quiet = hush(heardRows(sos), now);
        return {
          nothing: level([]), highest: level([row('a', 'minor'), row('b', 'major')]), critical: level(sos),
          louder: wanted({heard: heardRows(sos), now}).louder,
          taken: level([row('a', 'critical', 'acknowledged')]), ordinary: level([row('w', 'warning')]),
          shelved: level([row('a', 'critical', 'raised', 1, {shelf: {until: '2026-01-01T00:00:00Z'}})]),
          hushed: level(sos, quiet), hush_over: level(sos, quiet, now + 60001), hush_broken_by_another: level([...sos, row('b', 'critical')], quiet),
          hush_broken_by_second_cry: level([row('a', 'critical', 'raised', 2)], quiet),
          supervisor_at_40_s: level(sos, null, now, true), supervisor_at_29_s: level(sos, null, now - 11000, true),
          supervisor_of_urgent: level([row('b', 'major')], null, now, true),
        };
        """,
        {
            "nothing": 0,
            "highest": 2,
            "critical": 1,
            "louder": True,
            "taken": 0,
            "ordinary": 0,
            "shelved": 0,
            "hushed": 0,
            "hush_over": 1,
            "hush_broken_by_another": 1,
            "hush_broken_by_second_cry": 1,
            "supervisor_at_40_s": 1,
            "supervisor_at_29_s": 0,
            "supervisor_of_urgent": 0,
        },
    ),
    "counts sound as rows do": (  # a locked screen and a wallboard know only how many, since when, and how many cries
        """
        const {heardCounts, hush, plan, settled, silence, wanted} = await import('/static/alarm.js');
        const now = Date.parse('2026-01-01T00:01:00Z');
        const raised = (severity, count, cries, oldest = '2026-01-01T00:00:20Z') => ({[severity]: {count, cries, oldest}});
        const heard = (...list) => heardCounts(Object.assign({}, ...list));
        const level = (what, quiet = null) => wanted({heard: what, hush: quiet, now}).level;
        const two = heard(raised('critical', 2, 3), raised('warning', 9, 9));
        const quiet = hush(two, now);
        const one = settled(quiet, heard(raised('critical', 1, 1)));
        let memory = silence();
        const chimes = [1, 1, 2, 1, 2].map((cries) => {
          const next = plan(wanted({heard: heard(raised('minor', cries, cries)), now}), memory, now);
          memory = next.memory;
          return next.tones.length;
        });
        return [level(heardCounts(undefined)), level(two), level(heard(raised('major', 1, 1))), wanted({heard: two, now}).louder, level(two, quiet),
          level(heard(raised('critical', 2, 4)), quiet), level(heard(raised('critical', 1, 1)), one), level(heard(raised('critical', 2, 2)),
            one), chimes];
        """,
        [0, 1, 2, True, 0, 1, 0, 1, [1, 0, 1, 0, 1]],
    ),
    "a window silences another only when it sounds as urgently": (
        """
        const {isOurs} = await import('/static/alarm.js');
        const want = (level, link = false) => ({level, link});
        return [isOurs(want(1), 0.5, []), isOurs(want(1), 0.5, [[0.1, want(1)]]), isOurs(want(1), 0.5, [[0.9, want(1)]]), isOurs(want(1), 0.5,
          [[0.1, want(0)]]),
          isOurs(want(1), 0.5, [[0.1, want(2)]]), isOurs(want(2), 0.5, [[0.1, want(1)]]), isOurs(want(2, true), 0.5, [[0.1, want(1)]])];
        """,
        [True, False, True, True, True, False, True],
    ),
    "a critical alarm has a floor, the others can be quieter": (
        """
        const {heardRows, plan, silence, wanted} = await import('/static/alarm.js');
        const gain = (severity, volume) => plan(wanted({heard: heardRows([{id: 'a', severity, state: 'raised', cries: 1,
          opened_at: '2026-01-01T00:00:00Z'}]),
          now: Date.parse('2026-01-01T00:00:01Z')}), silence(), 1, volume).tones[0].gain;
        return [gain('critical', 0) / gain('critical', 1), gain('major', 0) / gain('major', 1), gain('major', 0.5) / gain('major',
          1)].map((one) => one.toFixed(2));
        """,
        ["0.60", "0.15", "0.50"],
    ),
    "tones follow the plan": (  # seconds, what waits, is the link lost -> number of tones
        """
        const {heardRows, plan, silence, wanted} = await import('/static/alarm.js');
        const start = 1e6;
        let memory = silence();
        const step = ([seconds, severity, linkLost]) => {
          const now = start + seconds * 1000;
          const heard = heardRows(severity ? [{id: 'a', severity, state: 'raised', cries: 1, opened_at: new Date(start).toISOString()}] : []);
          const next = plan(wanted({heard, linkLost, now}), memory, now);
          memory = next.memory;
          return next.tones.length;
        };
        return [[0, 'critical'], [4, 'critical'], [5, 'critical'], [6, 'major'], [20, 'major'], [21, 'major'], [30, 'minor'], [90, 'minor'],
          [91, null, true], [95, null, true], [101, null, true]].map(step);
        """,
        [10, 0, 10, 3, 0, 3, 1, 0, 2, 0, 2],
    ),
    "what is on the shelf is counted in its own tab and nowhere else": (
        """
        const {TABS, count, inTab} = await import('/static/store.js');
        const row = (id, severity, state, more = {}) => ({id, severity, state, owner: null, flags: [], ...more});
        const rows = [row('a', 'critical', 'raised'), row('b', 'major', 'acknowledged', {owner: 'L'}), row('c', 'minor', 'resolved',
          {flags: ['complaint']}),
          row('d', 'warning', 'closed'), row('e', 'minor', 'raised', {shelf: {reason: 'r'}}), row('f', 'minor', 'acknowledged', {owner: 'L',
            shelf: {reason: 'r'}})];
        const counts = count(rows, 'L');
        const listed = TABS.map((tab) => rows.filter((one) => one.state !== 'closed' && inTab(one, tab, 'L')).length);
        return [counts.tabs, TABS.map((tab) => counts.tabs[tab]).join() === listed.join(), counts.open, counts.minor, counts.raised.minor,
          counts.raised.critical];
        """,
        [{"all": 3, "mine": 1, "waiting": 1, "call_back": 1, "complaint": 1, "shelved": 2}, True, 3, 1, 0, 1],
    ),
    "in a flood only levels 3 and 4 are grouped, by area and kind": (
        """
        const {arrange} = await import('/static/arrange.js');
        const row = (id, severity, kind, place, more = {}) => ({id, severity, kind, place, state: 'raised', owner: null, name: id, ...more});
        const rows = [row('a', 'critical', 'sos', 'T x'), row('b', 'major', 'fall', 'T x'), row('c', 'major', 'fall', 'T y'), row('d', 'minor',
          'smoke', 'T x'),
          row('e', 'minor', 'smoke', 'T y'), row('f', 'minor', 'smoke', 'P x'), row('g', 'warning', 'offline', 'T x'), row('h', 'warning',
            'offline', 'T z'),
          row('i', 'warning', 'offline', 'T q', {state: 'acknowledged', owner: 'L'}), row('j', 'warning', 'offline', 'T q'), row('z', 'minor',
            'smoke', 'T x', {state: 'closed'})];
        const ids = (options) => arrange(rows, options).map((item) => (item.group ? `${item.group}:${item.rows.length}` : item.id)).join(' ');
        return [ids({}), ids({flood: true}), ids({flood: true, me: 'L', keep: new Set(['j'])}), ids({flood: true,
          opened: new Set(['flood:minor:T:smoke'])}),
          ids({folded: new Set(['group:closed'])}).endsWith('closed:1')];
        """,
        [
            "a b c d e f g h i j closed:1 z",
            "a b c flood:2 f flood:4 closed:1 z",
            "a b c flood:2 f flood:2 i j closed:1 z",
            "a b c flood:2 d e f flood:4 closed:1 z",
            True,
        ],
    ),
    "who runs away is folded, but never an SOS that waits": (
        """
        const {arrange} = await import('/static/arrange.js');
        const row = (id, severity, kind, more = {}) => ({id, severity, kind, place: 'T x', name: 'W**', age: 80, state: 'raised', owner: null,
          runaway: 6, ...more});
        const rows = [row('s', 'critical', 'sos'), row('t', 'critical', 'sos'), row('a', 'minor', 'smoke'), row('b', 'minor', 'smoke',
          {state: 'acknowledged', owner: 'Z'}),
          row('c', 'minor', 'gas'), row('d', 'minor', 'smoke', {name: 'X**'}), row('e', 'minor', 'smoke', {runaway: undefined})];
        return arrange(rows).map((item) => (item.group ? `${item.group}:${item.rows.map((one) => one.id).join('+')}` : item.id)).join(' ');
        """,
        "s t runaway:a+b c d e",
    ),
    "into which of the marked ones the others go": (
        """
        const {mergeTarget} = await import('/static/marks.js');
        const row = (id, severity, minute) => ({id, severity, opened_at: `2026-01-01T00:${minute}:00Z`});
        return [mergeTarget([row('a', 'minor', '00'), row('b', 'critical', '09'), row('c', 'critical', '05')]), mergeTarget([])];
        """,
        ["c", None],
    ),
    "keys": (
        """
        const {keyAction} = await import('/static/keys.js');
        const plain = {key: '', ctrlKey: false, altKey: false, metaKey: false, shiftKey: false, repeat: false, isComposing: false};
        const key = (code, more = {}, focus = {queue: true}) => keyAction({...plain, code, ...more}, focus);
        const text = {text: true, incident: true};
        const off = (code, more = {}) => keyAction({...plain, code, ...more}, {queue: true}, null, false);
        return [[off('KeyA'), off('Digit1'), off('Space'), off('Slash'), off('KeyG'), off('', {key: '?'}), off('ArrowDown'), off('F2'),
          off('F1'), off('Escape'), off('Enter')],
          ['KeyX', 'KeyA', 'KeyT'].map((code) => key(code, {shiftKey: true})), ['KeyX', 'KeyT', 'KeyO', 'KeyY', 'KeyQ', 'KeyS', 'KeyM',
            'KeyU'].map((code) => key(code)),
          key('KeyA'), key('KeyA', {}, text), key('F8', {}, text), key('F2', {isComposing: true}, text),
          key('Escape', {isComposing: true}, text),
          key('Enter', {ctrlKey: true}, text), key('KeyA', {ctrlKey: true}), key('KeyA', {repeat: true}), key('KeyJ', {repeat: true}),
          key('Space', {}, {incident: true, button: true}), key('KeyJ', {}, {incident: true}), key('KeyA', {}, {}),
          key('Slash', {shiftKey: true}), key('Slash')];
        """,
        [
            [None] * 6 + ["down", "take_next", "help", "back", "open"],
            ["clear_marks", "bulk_acknowledge", "bulk_assign"],
            ["mark", "assign", "hand_over", "split", "cancel", "shelve", "merge", "unmerge"],
            "acknowledge",
            None,
            "note",
            "take_next",
            None,
            "submit",
            None,
            None,
            "down",
            None,
            None,
            None,
            "help",
            "search",
        ],
    ),
    "two keys that belong together": (
        """
        const {keyAction} = await import('/static/keys.js');
        const plain = {key: '', ctrlKey: false, altKey: false, metaKey: false, shiftKey: false, repeat: false, isComposing: false};
        const key = (code, after = null, focus = {queue: true}) => keyAction({...plain, code}, focus, after);
        return [key('KeyG'), key('KeyD', 'KeyG'), key('KeyW', 'KeyG'), key('KeyQ', 'KeyG'), key('KeyD'), key('KeyK'), key('KeyX', 'KeyG'),
          key('F2', 'KeyG'), key('Escape', 'KeyG'), key('KeyD', 'KeyG', {ops: true}), key('KeyD', null, {ops: true}),
          key('KeyG', null, {text: true}), ...['KeyR', 'KeyP', 'KeyA', 'KeyV', 'KeyL', 'KeyM', 'KeyB'].map((code) => key(code, 'KeyG'))];
        """,
        [
            "go",
            "devices",
            "watch",
            "queue",
            "dispatch",
            "up",
            None,
            "take_next",
            "back",
            "devices",
            *[None] * 2,
            "requests",
            "providers",
            "aid",
            "levels",
            "lock",
            "map",
            "wall",
        ],
    ),
    "every key has its group, and no two do different things": (
        """
        const {KEYS, keyOf} = await import('/static/keys.js');
        const names = KEYS.map((key) => [key.after, key.ctrl, key.shift, key.code].join());
        return [KEYS.every((key) => key.group), names.length - new Set(names).size, keyOf('levels'), keyOf('dispatch'), keyOf('nothing')];
        """,
        [True, 0, "G V", "D", ""],
    ),
    "no key that the browser or the desktop needs": (
        """
        const {KEYS} = await import('/static/keys.js');
        const forbidden = ['F3', 'F5', 'F6', 'F7', 'F10', 'F11', 'F12'];
        return KEYS.filter((key) => forbidden.includes(key.code) || (key.ctrl && key.code.startsWith('Key'))).length;
        """,
        0,
    ),
    "why a line is lost": (
        """
        const {meaning} = await import('/static/fault.js');
        return ['silent for 60 s', 'nothing heard for 61 s', 'connection to the broker lost: Keep alive timeout',
          'the broker closed the connection at once',
          '/dev/ttyUSB0: Connection was closed cleanly.', 'port_closed', 'cannot open /dev/ttyUSB0: No such file', 'cannot listen on tcp:4001: busy',
          'broker 127.0.0.1:1883: ConnectionRefusedError: 111',
          'the broker refuses the subscription to x', 'ended', 'internal error (KeyError)', 'odd', '', null]
          .map(meaning);
        """,
        [
            *("silent", "silent", "connection_lost", "connection_lost", "port_closed", "port_closed", "cannot_open", "cannot_open"),
            *("unreachable", "refused", "ended", "internal", None, None, None),
        ],
    ),
    "a row keeps its place": (
        """
        const {keepPlace} = await import('/static/grid.js');
        const stand = (lead, scroll, before, after, most = 36) => Object.values(keepPlace({lead, scroll, before, after, height: 36, most}));
        return [stand(0, 0, 0, 3), stand(0, 108, 5, 2), stand(0, 0, 3, 2), stand(0, 0, 3, 1), stand(36, 0, 1, 2),
          stand(0, 0, 3, 2, 0), stand(0, 0, 0, 3, 0)];
        """,
        [[0, 108], [0, 0], [36, 0], [36, 0], [0, 0], [0, 0], [0, 108]],
    ),
}


@pytest.fixture(scope="module")
def page_of_modules(browser: Browser) -> Iterator[Page]:
    house = ServedHouse()
    page = browser.new_page()
    page.goto(house.url)
    yield page
    page.close()
    house.stop()


@pytest.mark.parametrize("name", QUESTIONS)
def test_module(page_of_modules: Page, name: str) -> None:
    script, expected = QUESTIONS[name]
    assert page_of_modules.evaluate(f"async () => {{ {script} }}") == expected
