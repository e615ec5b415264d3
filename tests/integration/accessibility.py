"""What axe-core, the keyboard and the network have to say of a page that Chromium shows."""

import json
import os

WEIGHT_MOST = 100_000
# Width, height and whether dark: how every page is looked at; in all four where pictures are wanted.
FIRST, SECOND = (1280, 900, False), (390, 844, True)
SHOWN_AS = [FIRST, SECOND]
if os.environ.get("KEYMETER_SCREENSHOTS"):
    SHOWN_AS = [FIRST, (1280, 900, True), (390, 844, False), SECOND]
MADE_UP = "ThisIsOnlyAnExampleOfASecretThatIsShownOnce0000000"
USED = "a[href], button, input, select, textarea, summary"
NAMED = ("button", "link", "textbox", "combobox", "checkbox", "radio", "image", "searchbox")


def serious(page, axe, colours=False):
    """[(rule, an element)] of what keeps people out; `colours`: of these alone, where the rest was looked at."""
    if not page.value("!!window.axe"):
        page.value(axe + "; 0")
    only = ", runOnly: ['color-contrast', 'link-in-text-block']" if colours else ""
    return page.value(
        f"axe.run(document, {{resultTypes: ['violations']{only}}}).then(all => all.violations.filter(one =>"
        " ['serious', 'critical'].includes(one.impact)).map(one => [one.id, one.nodes[0].html]))")


def weight(page):
    """Bytes of the page and all it loads, as they are before compression."""
    return page.value("performance.getEntriesByType('navigation').concat(performance.getEntriesByType("
                      "'resource')).reduce((sum, one) => sum + one.decodedBodySize, 0)")


def reach(page, selector, most=80):
    """Goes there by Tab, and the place can be seen."""
    for _ in range(most):
        page.press("Tab")
        if page.value(f"document.activeElement.matches({json.dumps(selector)})"):
            assert page.value("getComputedStyle(document.activeElement).outlineWidth") == "3px", selector
            return
    raise AssertionError(f"no way by Tab to {selector}")


def unreached(page):
    """What a mouse could use and Tab does not come to from the page's top or, when it is there, does not show."""
    stops = page.value(
        "{ const start = document.createElement('a'); start.tabIndex = -1; document.body.prepend(start); start.focus();"
        " start.remove(); }"
        " if (!window.met) document.addEventListener('focusin', ({target}) => {"
        "  if (met.has(target)) return;"  # not twice round
        "  const style = getComputedStyle(target); met.add(target);"
        "  if (style.outlineStyle !== 'solid' || style.outlineWidth !== '3px') pale.push(target); });"
        " window.met = new Set(); window.pale = [];"
        f" [...document.querySelectorAll({json.dumps(USED + ', [tabindex], pre')})].reduce("
        "(sum, one) => sum + (one.type === 'date' ? 4 : Number(one.checkVisibility())), 0)")  # a date's parts, one by one
    page.press("Tab", stops + 1)
    return page.value(
        f"[...document.querySelectorAll({json.dumps(USED)})].filter(one =>"
        " one.type !== 'hidden' && !one.matches(':disabled') && one.checkVisibility()"
        " && !met.has(one) && !(one.type === 'radio' && [...met].some(other => other.name === one.name)))"
        ".concat(pale).map(one => one.outerHTML.slice(0, 120))")


def told(page):
    """What assistive technology gets of it."""
    nodes = [(one["role"]["value"], one.get("name", {}).get("value", ""))
             for one in page.call("Accessibility.getFullAXTree")["nodes"] if not one["ignored"]]
    assert [role for role, _ in nodes].count("main") == 1
    assert all(name for role, name in nodes if role == "navigation")
    return [role for role, name in nodes if role in NAMED and not name]


def fits(page):
    """Nothing stands beside what can be seen, a secret and every choice are seen whole, and rows stand as cards on
    small screens."""
    return page.value(
        "new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn))).then(() =>"
        f" document.documentElement.scrollWidth <= {page.width}"
        " && [...document.querySelectorAll('textarea#secret')].every(one => one.scrollHeight <= one.clientHeight)"
        " && [...document.querySelectorAll('select')].every(one => { const wide = one.cloneNode(true);"
        "  wide.style.cssText = 'position: absolute; width: max-content; min-width: 0'; one.after(wide);"
        "  const needed = wide.offsetWidth; wide.remove(); return needed <= one.offsetWidth; })"
        f" && ({page.width} >= 600 || [...document.querySelectorAll('.stack')].every("
        "one => one.offsetWidth <= one.parentElement.clientWidth)))")


def picture(page, name, shape):
    """Where pictures are wanted, and of what only refuses ("sign-in refused") two: with a secret that is none."""
    folder, (width, _, dark) = os.environ.get("KEYMETER_SCREENSHOTS"), shape
    if not folder or (" " in name and shape not in (FIRST, SECOND)):
        return
    page.value("document.activeElement?.blur(); getSelection().removeAllRanges(); scrollTo(0, 0)")
    page.value("(() => { for (const field of document.querySelectorAll('#secret, #totp_secret')) {"
               " const real = field.value, kept = real.match(/^(.*[_/]|)/)[0];"
               f" const made = kept + '{MADE_UP}'.slice(0, real.length - kept.length);"
               " document.querySelectorAll('[data-sample] code').forEach(one => {"
               "  one.textContent = one.textContent.replaceAll(real, made); }); field.value = made;"
               " field.setSelectionRange(0, 0); } })()")
    page.screenshot(f"{folder}/{name.replace(' ', '-')}-{width}-{'dark' if dark else 'light'}.webp", highest=2000)


def look(page, name, axe):
    """All of it at one page: it fits, it is light, axe-core says nothing serious of it, and Tab comes everywhere."""
    assert weight(page) < WEIGHT_MOST, name
    page.value("window.shut = [...document.querySelectorAll('details:not([open])')]")
    for shape in SHOWN_AS:
        width, _, dark = shape
        page.show_as(*shape)
        page.value("shut.forEach(one => { one.open = false; })")
        assert fits(page), (name, width)
        picture(page, name, shape)
        page.value("shut.forEach(one => { one.open = true; })")
        assert fits(page), (name, width, "all open")
        if shape == FIRST:
            assert page.value("[...document.querySelectorAll('h1')].filter(one => one.checkVisibility()).length") == 1, name
            ids = page.value("[...document.querySelectorAll('[id]')].map(one => one.id)")
            assert len(set(ids)) == len(ids), (name, sorted(ids))
            for found in (unreached(page), told(page)):
                assert found == [], f"{name}: {found}"
        found = serious(page, axe, colours=shape != FIRST)
        assert found == [], f"{name}, {shape}: {found}"
        colour = page.value("getComputedStyle(document.body).backgroundColor")
        assert (int("".join(filter(str.isdigit, colour.split(",")[0]))) < 64) == dark, name
    refused = "Failed to load resource"  # Chromium's word for a page whose status is not 200
    assert [line for line in page.console if refused not in line] == [], name
    page.show_as(*FIRST)
