"""How the page of a drill looks: one sheet, by day and by night; colour is never alone."""

STYLE = """
:root { color-scheme: light dark;
  --paper:#fbfaf7; --ink:#1d2430; --soft:#5c6675; --line:#dcd8cf; --card:#fff;
  --k:#cfe6da; --k-ink:#0f4a33; --d:#f4e3a1; --d-ink:#5b4600; --e:#d8dcea; --e-ink:#333c66;
  --b:#bf2036; --b-ink:#fff; --n:#fff; --n-ink:#6a3d00; --hatch:#e8b36b; }
@media (prefers-color-scheme: dark) { :root {
  --paper:#14181f; --ink:#e8e6e0; --soft:#9aa5b4; --line:#313946; --card:#1b212b;
  --k:#1d4937; --k-ink:#c4f0da; --d:#5a4a10; --d-ink:#ffeaa6; --e:#323a5c; --e-ink:#d5dcff;
  --b:#d8324a; --b-ink:#fff; --n:#1b212b; --n-ink:#ffc77a; --hatch:#7a5520; } }
* { box-sizing:border-box }
body { margin:0; background:var(--paper); color:var(--ink);
  font:15px/1.5 ui-sans-serif, system-ui, "Segoe UI", Roboto, sans-serif }
main { max-width:1180px; margin:0 auto; padding:2rem 1.25rem 4rem }
h1 { font-size:1.55rem; line-height:1.25; margin:.1rem 0 .3rem; letter-spacing:-.01em }
h2 { font-size:1.15rem; margin:2.6rem 0 .6rem }
h3 { font-size:1rem; margin:2rem 0 .3rem }
p { margin:.35rem 0 } small, .soft { color:var(--soft) } code { font-size:.92em }
a { color:inherit }
.banner { border-left:6px solid var(--k-ink); background:var(--card); padding:1rem 1.25rem;
  border-radius:4px; box-shadow:0 1px 3px #0001 }
.banner.bad { border-color:var(--b) } .banner.open { border-color:var(--hatch) }
.tiles { display:flex; flex-wrap:wrap; gap:.75rem; margin:1rem 0 1.5rem; padding:0;
  list-style:none }
.tiles li { background:var(--card); border:1px solid var(--line); border-radius:4px;
  padding:.5rem .9rem; min-width:7.5rem }
.tiles b { display:block; font-size:1.35rem; font-variant-numeric:tabular-nums }
.scroll { overflow-x:auto; padding-bottom:.5rem }
table { border-collapse:collapse; font-variant-numeric:tabular-nums }
.grid { border-spacing:3px; border-collapse:separate }
.grid thead th { vertical-align:bottom; font-weight:600; text-align:left; padding:.2rem .3rem }
.grid thead th.zone span { writing-mode:vertical-rl; transform:rotate(180deg); padding:.25rem 0;
  max-height:11rem }
.grid tbody th { text-align:left; font-weight:600; white-space:nowrap;
  padding:.15rem .9rem .15rem 0 }
.grid tbody th small { display:block; font-weight:400 }
.grid td.num { padding:0 .6rem; white-space:nowrap; text-align:right }
.cell { position:relative; width:3rem; height:2.6rem; padding:0; text-align:center }
.cell a { display:flex; align-items:center; justify-content:center; width:100%; height:100%;
  min-height:2.6rem; border-radius:4px; text-decoration:none; font-weight:700; font-size:1.05rem }
.cell.target a { outline:2px dashed var(--ink); outline-offset:-4px }
.cell.end { padding-left:.6rem; width:3.6rem }
.grid tbody th a { text-decoration-color:var(--line); text-underline-offset:.2em }
.K a { background:var(--k); color:var(--k-ink) } .D a { background:var(--d); color:var(--d-ink) }
.E a { background:var(--e); color:var(--e-ink) } .B a { background:var(--b); color:var(--b-ink) }
.N a { color:var(--n-ink); border:1px solid var(--hatch);
  background:repeating-linear-gradient(45deg, var(--n) 0 6px, var(--hatch) 6px 7px) }
.N a i { background:var(--n); padding:0 .3rem; border-radius:3px; font-style:normal }
.cell i { font-style:normal } .cell sup { font-size:.65rem; margin-left:.1rem }
.pop { display:none; position:absolute; z-index:5; top:100%; left:50%; translate:-50% 4px;
  width:21rem; background:var(--card); color:var(--ink); border:1px solid var(--line);
  border-radius:4px; box-shadow:0 6px 24px #0004; padding:.7rem .85rem; text-align:left;
  font-weight:400; font-size:.85rem }
.cell:hover .pop, .cell a:focus-visible + .pop { display:block }
.pop b { display:block; margin-bottom:.2rem }
.grid tbody tr td.cell:nth-last-child(-n+8) .pop { left:auto; right:0; translate:0 4px }
.legend { display:flex; flex-wrap:wrap; gap:.3rem 1.4rem; padding:0; list-style:none;
  font-size:.87rem; margin:.8rem 0 }
.legend i { display:inline-block; min-width:1.6rem; text-align:center; border-radius:3px;
  font-style:normal; font-weight:700; margin-right:.45rem }
.legend .K { background:var(--k); color:var(--k-ink) }
.legend .D { background:var(--d); color:var(--d-ink) }
.legend .E { background:var(--e); color:var(--e-ink) }
.legend .B { background:var(--b); color:var(--b-ink) }
.legend .N { border:1px solid var(--hatch); color:var(--n-ink) }
.list { width:100%; font-size:.88rem }
.list th { text-align:left; font-weight:600; border-bottom:1px solid var(--line);
  padding:.25rem .6rem }
.list td { border-bottom:1px solid var(--line); padding:.25rem .6rem; vertical-align:top }
.list tr:target { background:var(--d); color:var(--d-ink) }
.list .code { font-weight:700 } .wide { min-width:20rem }
details { margin:.6rem 0 } summary { cursor:pointer; color:var(--soft) }
footer { margin-top:3rem; border-top:1px solid var(--line); padding-top:.8rem; font-size:.82rem;
  color:var(--soft); overflow-wrap:anywhere }
@media (max-width:900px) { .heat { overflow-x:auto } .pop { display:none !important } }
@media print { .pop { display:none !important } body { background:#fff } }
"""
