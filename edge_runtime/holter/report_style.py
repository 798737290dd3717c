"""How a report looks, on a screen and on paper."""

STYLE = """
@page{size:A4;margin:12mm}
*{box-sizing:border-box}
body{margin:0;background:#e9ecef;color:#1b2430;
font:3.4mm/1.45 "Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
-webkit-print-color-adjust:exact;print-color-adjust:exact}
main{width:210mm;margin:6mm auto;padding:12mm;background:#fff;box-shadow:0 1mm 5mm #0002}
svg{display:block;overflow:visible;max-width:100%}
h1{font-size:6.4mm;font-weight:650;margin:0}h1 span{font-weight:400;color:#5b6775}
h2{font-size:4.2mm;font-weight:650;margin:7mm 0 2mm;border-bottom:.25mm solid #d5dbe1;
padding-bottom:1mm}
h2 span{font-size:3.1mm;font-weight:400;color:#5b6775;margin-left:2mm}
h3{font-size:3.5mm;margin:4mm 0 1mm}
.notice{margin:.5mm 0 3mm;color:#8a4b00;font-size:3.1mm}
dl{display:grid;grid-template-columns:20mm 1fr;gap:.4mm 3mm;margin:0}
dt{color:#5b6775}dd{margin:0;overflow-wrap:anywhere}
.cards{display:flex;flex-wrap:wrap;gap:2mm;margin-top:4mm}
.cards div{flex:1 1 22mm;background:#f4f6f8;border-radius:1.5mm;padding:2mm 2.5mm;display:flex;
flex-direction:column}
.cards b{font-size:6mm;line-height:1.15;font-weight:600}
.cards i{font-style:normal;order:-1;font-size:2.9mm;color:#5b6775}
.cards small{font-size:2.8mm;color:#5b6775}
.row{display:flex;justify-content:space-between;gap:4mm;margin-top:5mm}
figure{margin:0;break-inside:avoid}
figcaption{font-size:3.1mm;color:#39434f;margin-bottom:1mm}figcaption span{color:#5b6775}
.strip{margin-bottom:4mm}
table{border-collapse:collapse;width:100%;font-size:3mm}
th{text-align:left;color:#5b6775;font-weight:500;border-bottom:.25mm solid #d5dbe1;
padding:.8mm 2mm .8mm 0}
td{border-bottom:.15mm solid #e8ecf0;padding:.7mm 2mm .7mm 0;vertical-align:top;
font-variant-numeric:tabular-nums}
tr{break-inside:avoid}
.chips{margin:0 0 2mm;display:flex;flex-wrap:wrap;gap:1.5mm}
.chip{border-radius:3mm;padding:.4mm 2.5mm;font-size:3.1mm}
.legend{font-size:2.9mm;color:#5b6775;margin:1mm 0 0}.legend span{margin-left:3mm}
i.event,.legend i{display:inline-block;width:2.4mm;height:2.4mm;border-radius:.5mm;
margin:0 1mm 0 2mm}
td i.event{margin-left:0}
footer{color:#39434f;font-size:3mm;break-inside:avoid}
text{font-size:2.5px;fill:#1b2430}
.axis{font-size:2.4px;fill:#5b6775}.mid{text-anchor:middle}.end{text-anchor:end}
.lead{font-size:2.9px;font-weight:600}
.beat{font-size:2.9px;font-weight:600}.rr{font-size:2.2px;fill:#6a7682}
text.n{fill:#39434f}text.s{fill:#b35c00}text.v{fill:#c2102f}text.q{fill:#7a8794}
.sheet{fill:#fffafa}.dot{stroke-width:1.1;stroke-linecap:round}.dot.s{stroke:#e07b00}
.dot.v{stroke:#d3122f}
.thin{stroke:#f6cfcf;stroke-width:.08}.bold{stroke:#eba9a9;stroke-width:.16}
.marked{fill:#ffcf33;opacity:.24}
path{fill:none}
.trace,.pulse{stroke:#10161d;stroke-linejoin:round}
.trace{stroke-width:26}.pulse{stroke-width:.25}
.tick{stroke:#5b6775;stroke-width:.2}
.rule{stroke:#dfe4e9;stroke-width:.15}.axes{stroke:#8a96a3;stroke-width:.2}
.rate{stroke:#0b4f8a;stroke-width:35;stroke-linejoin:round}.range{fill:#b9d3ec}
rect.s{fill:#e07b00}rect.v{fill:#d3122f}
.pair{fill:#0b4f8a}.bar{fill:#5f93c4}
.shape{stroke-width:40}.shape.n{stroke:#10161d}.shape.s{stroke:#e07b00}.shape.v{stroke:#d3122f}
.q-good{fill:#79b98a;background:#79b98a}.q-limited{fill:#f0c75e;background:#f0c75e}
.q-bad{fill:#c9525b;background:#c9525b}.q-missing{fill:#cfd6dd;background:#cfd6dd}
.event.high,.chip.high{fill:#d3122f;background:#d3122f}
.event.medium,.chip.medium{fill:#f2b705;background:#f2b705}
.event.low,.chip.low{fill:#1fa3b8;background:#1fa3b8}
.event.information,.chip.information{fill:#93a1af;background:#93a1af}
.chip{color:#fff}.chip.medium{color:#332800}
figcaption b.high{color:#c2102f}figcaption b.medium{color:#8a6a00}figcaption b.low{color:#0d7383}
.full svg{break-inside:avoid}.full path.full{stroke:#26303b;stroke-width:9}
.disclosure .bad{fill:#f7dadd}.disclosure .missing{fill:#dfe4e9}
@media print{body{background:#fff}main{width:auto;margin:0;padding:0;box-shadow:none}
.full{break-before:page}}
"""
