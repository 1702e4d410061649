"""The frame of report.html: its style and its page, as strings.

The page loads nothing: style and figures are inside it, and its content
policy forbids the rest. Widths are in characters, numbers are tabular, colours
follow the reader's light or dark setting, and print is black on white.
"""

import string

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fcfcfa; --card: #ffffff; --ink: #1d2327; --soft: #5d666d;
  --line: #e3e5e3; --passed: #1a7f4b; --failed: #b3261e; --reported: #2f5f9e;
  --tint: #f3f4f1;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #16191b; --card: #1d2123; --ink: #e6e8e6; --soft: #9aa3a8;
    --line: #31373a; --passed: #6fcf97; --failed: #ff8a80; --reported: #8ab4f0;
    --tint: #22272a;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans",
    "Liberation Sans", "DejaVu Sans", sans-serif;
  font-variant-numeric: tabular-nums;
}
main { max-width: 68rem; margin: 0 auto; padding: 3.5rem 1.5rem 5rem; }
h1, h2, .lead { font-family: Charter, "Bitstream Charter", "Iowan Old Style",
  Georgia, "Noto Serif", "Liberation Serif", serif; }
h1 { font-size: 2.1rem; line-height: 1.2; font-weight: 600; margin: 0 0 .5rem;
  max-width: 24em; text-wrap: balance; }
h2 { font-size: 1.3rem; font-weight: 600; margin: 3.2rem 0 1rem; }
p { max-width: 44rem; margin: 0 0 1rem; }
.source, .note, figcaption, footer { color: var(--soft); }
.lead { font-size: 1.15rem; margin: 1.6rem 0 0; }
.passed { color: var(--passed); } .failed { color: var(--failed); }
.reported { color: var(--reported); }
.word { font-weight: 650; }
.wide { overflow-x: auto; margin: 0 -1.5rem; padding: 0 1.5rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem;
  line-height: 1.45; }
th { text-align: left; font-weight: 600; color: var(--soft);
  font-size: .78rem; border-bottom: 1px solid var(--line);
  padding: 0 1.2rem .5rem 0; vertical-align: bottom; }
td { vertical-align: top; padding: .9rem 1.2rem .9rem 0;
  border-bottom: 1px solid var(--line); }
th:last-child, td:last-child { padding-right: 0; }
.claim { min-width: 17rem; } .measured { min-width: 11rem; }
.published { min-width: 8rem; } td.gate { min-width: 8rem; }
.verdict { min-width: 8rem; }
.name { font-family: ui-monospace, "SF Mono", Menlo, Consolas,
  "Liberation Mono", monospace; font-size: .8rem; color: var(--soft); }
td small { display: block; color: var(--soft); font-size: .8rem;
  margin-top: .25rem; }
svg.strip { display: block; margin: .4rem 0 .1rem; overflow: visible; }
.strip .axis { stroke: var(--line); } .strip .gate { stroke: var(--ink);
  stroke-dasharray: 2 2; }
.strip .seed { fill: var(--reported); fill-opacity: .75; }
.strip .null { fill: var(--card); stroke: var(--soft); }
p.key { margin-top: 1rem; }
figure { margin: 0 0 2.4rem; }
figure img { display: block; max-width: 100%; height: auto; background: #fff;
  border: 1px solid var(--line); border-radius: 6px; padding: .8rem; }
figcaption { max-width: 44rem; margin-top: .7rem; font-size: .92rem; }
pre { background: var(--tint); border-radius: 6px; padding: 1rem 1.1rem;
  overflow-x: auto; font: .82rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas,
  "Liberation Mono", monospace; margin: 0; }
summary { cursor: pointer; padding: .3rem 0; }
details pre { margin-top: .6rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.6rem;
  margin: 0; font-size: .9rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
footer { margin-top: 3.5rem; font-size: .85rem; }
@media screen and (max-width: 40rem) { main { padding-top: 2rem; }
  h1 { font-size: 1.6rem; }
  table, tbody, tr, td { display: block; } thead { display: none; }
  tr { border-bottom: 1px solid var(--line); padding: .9rem 0; }
  td { border: 0; padding: .3rem 0; }
  .published::before { content: "Published: "; color: var(--soft); }
  .measured::before { content: "Measured: "; color: var(--soft); }
  td.gate::before { content: "Gate: "; color: var(--soft); } }
@media print {
  :root { --paper: #fff; --card: #fff; --ink: #000; --soft: #444;
    --line: #bbb; --passed: #0b6b3a; --failed: #a3160f; --reported: #1d4f91;
    --tint: #f5f5f5; }
  body { font-size: 9.5pt; }
  main { max-width: none; padding: 0; }
  .wide { overflow: visible; margin: 0; padding: 0; }
  td.claim, td.measured, td.published, td.gate, td.verdict { min-width: 0; }
  tr, figure { break-inside: avoid; } h2 { break-after: avoid; }
  pre { white-space: pre-wrap; }
}
"""

PAGE = string.Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
<header>
<h1>$title</h1>
<p class="source">$source</p>
<p class="lead">$lead</p>
</header>
<h2>Claims</h2>
<div class="wide" tabindex="0" role="region" aria-label="Claims">
<table>
<thead><tr><th scope="col">Claim</th><th scope="col">Published</th>
<th scope="col">Measured</th><th scope="col">Gate</th>
<th scope="col">Verdict</th></tr></thead>
<tbody>
$rows
</tbody>
</table>
</div>
<p class="note key"><small>Measured is the median over seeds with the range in
brackets. In the strips a dot is a seed, a ring the null, the dashed line the
threshold; a run that diverged or never got there has no dot.</small></p>
$figures
<h2>Run it again</h2>
<pre>$command</pre>
<h2>Provenance</h2>
<dl>
$facts
</dl>
<h2>Config</h2>
<details><summary>Show the whole config</summary>
<pre>$config</pre>
</details>
<footer>$footer</footer>
</main>
</body>
</html>
""")
