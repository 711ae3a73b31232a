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
        const {hush, wanted} = await import('/static/alarm.js');
        const now = 1e6;
        const row = (id, severity, state = 'raised', cries = 1) => ({id, severity, state, cries, opened_at: new Date(now - 40000).toISOString()});
        const level = (rows, quiet = null, at = now) => wanted({incidents: rows, hush: quiet, now: at}).level;
        const sos = [row('a', 'critical')];
        const quiet = hush(sos, now);
        return {
          nothing: level([]), highest: level([row('a', 'minor'), row('b', 'major')]), critical: level(sos),
          louder: wanted({incidents: sos, now}).louder,
          taken: level([row('a', 'critical', 'acknowledged')]), ordinary: level([row('w', 'warning')]),
          hushed: level(sos, quiet), hush_over: level(sos, quiet, now + 60001), hush_broken_by_another: level([...sos, row('b', 'critical')], quiet),
          hush_broken_by_second_cry: level([row('a', 'critical', 'raised', 2)], quiet),
        };
        """,
        {
            "nothing": 0,
            "highest": 2,
            "critical": 1,
            "louder": True,
            "taken": 0,
            "ordinary": 0,
            "hushed": 0,
            "hush_over": 1,
            "hush_broken_by_another": 1,
            "hush_broken_by_second_cry": 1,
        },
    ),
    "tones follow the plan": (  # seconds, what waits, is the link lost -> number of tones
        """
        const {plan, silence, wanted} = await import('/static/alarm.js');
        const start = 1e6;
        let memory = silence();
        const step = ([seconds, severity, linkLost]) => {
          const now = start + seconds * 1000;
          const incidents = severity ? [{id: 'a', severity, state: 'raised', cries: 1, opened_at: new Date(start).toISOString()}] : [];
          const next = plan(wanted({incidents, linkLost, now}), memory, now);
          memory = next.memory;
          return next.tones.length;
        };
        return [[0, 'critical'], [4, 'critical'], [5, 'critical'], [6, 'major'], [20, 'major'], [21, 'major'], [30, 'minor'], [90, 'minor'],
          [91, null, true], [95, null, true], [101, null, true]].map(step);
        """,
        [10, 0, 10, 3, 0, 3, 1, 0, 2, 0, 2],
    ),
    "keys": (
        """
        const {keyAction} = await import('/static/keys.js');
        const plain = {key: '', ctrlKey: false, altKey: false, metaKey: false, shiftKey: false, repeat: false, isComposing: false};
        const key = (code, more = {}, focus = {queue: true}) => keyAction({...plain, code, ...more}, focus);
        const text = {text: true, incident: true};
        return [key('KeyA'), key('KeyA', {}, text), key('F8', {}, text), key('F2', {isComposing: true}, text),
          key('Escape', {isComposing: true}, text),
          key('Enter', {ctrlKey: true}, text), key('KeyA', {ctrlKey: true}), key('KeyA', {repeat: true}), key('KeyJ', {repeat: true}),
          key('Space', {}, {incident: true, button: true}), key('KeyJ', {}, {incident: true}), key('KeyA', {}, {}),
          key('Slash', {shiftKey: true}), key('Slash')];
        """,
        ["acknowledge", None, "note", "take_next", None, "submit", None, None, "down", None, None, None, "help", "search"],
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
