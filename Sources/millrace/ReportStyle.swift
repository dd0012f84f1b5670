/// The page's style sheet and script, within the page.
enum ReportStyle {
    static let css = """
        :root{--back:#f6f7f9;--card:#fff;--ink:#1b2130;--soft:#5c667a;--line:#dfe3ea;--source:#4a6fa5;
        --target:#c8590a;
        --good:#18794e;--goodback:#e5f4ec;--bad:#b4232c;--badback:#fbe9ea;--warn:#8a5a00;--warnback:#fdf3dc;
        --code:#f0f2f6}
        @media (prefers-color-scheme:dark){:root{--back:#12151c;--card:#1b1f29;--ink:#e8ebf2;--soft:#a0a9bb;
        --line:#2f3644;--source:#8fb2ea;--target:#f2a05c;--good:#5fd19b;--goodback:#14302a;--bad:#ff8b8f;
        --badback:#3a1d22;
        --warn:#f0c25d;--warnback:#33290f;--code:#262c39}}
        *{box-sizing:border-box}
        body{margin:0;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
        "Helvetica Neue",Arial,sans-serif}
        main{max-width:1120px;margin:0 auto;padding:24px 20px 48px}
        h1{font-size:26px;margin:0}h2{font-size:18px;margin:0 0 4px}p{margin:0}
        .note{color:var(--soft);font-size:13px}header{margin-bottom:16px}
        section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:18px 20px;
        margin:0 0 16px}
        section>.note{margin-bottom:12px;max-width:120ch}
        .verdict{display:flex;gap:20px;align-items:center;border-left:6px solid}
        .verdict.good{border-left-color:var(--good)}.verdict.bad{border-left-color:var(--bad)}
        .verdict .rate{font-size:38px;font-weight:700;white-space:nowrap;font-variant-numeric:tabular-nums}
        .verdict .says{font-weight:600;font-size:17px}
        .good .mark,.good .rate{color:var(--good)}.bad .mark,.bad .rate,td.bad{color:var(--bad)}
        section.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(155px,1fr));gap:12px;background:none;
        border:0;padding:0}
        .tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px}
        .tile .name{font-size:13px;font-weight:600}.tile .count{font-size:22px;font-weight:700;white-space:nowrap;
        font-variant-numeric:tabular-nums}.tile small{font-size:13px;font-weight:500;color:var(--soft)}
        .warning{background:var(--warnback);border-color:var(--warn)}.warning h2{color:var(--warn)}
        .warning ul{margin:6px 0 0;padding-left:20px;font-size:13px;overflow-wrap:anywhere}
        .empty{color:var(--soft);padding:18px;text-align:center;border:1px dashed var(--line);border-radius:8px}
        svg{display:block;width:100%;height:auto}svg.compact{display:none}
        svg text{font-size:12.5px;fill:var(--soft);font-variant-numeric:tabular-nums}
        svg .unit,svg .day{font-weight:600}.grid{stroke:var(--line)}.tick{stroke:var(--soft)}
        line.reference{stroke:var(--bad);stroke-dasharray:5 4}svg text.reference{fill:var(--bad)}
        path.line{fill:none;stroke-width:2;stroke-linejoin:round}path.match{stroke:var(--good)}
        circle.match{fill:var(--good)}
        path.source{stroke:var(--source)}circle.source{fill:var(--source)}
        path.target{stroke:var(--target)}circle.target{fill:var(--target)}
        .charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(290px,1fr));gap:18px}
        figure{margin:0;min-width:0}figcaption{font-size:13px;color:var(--soft);margin-bottom:4px}
        figcaption b{color:var(--ink)}
        .key{display:inline-block;width:10px;height:10px;border-radius:2px;margin:0 3px 0 0}
        .key~.key{margin-left:8px}.key.source,i.source{background:var(--source)}
        .key.target,i.target{background:var(--target)}
        .scroll{overflow-x:auto}
        table{border-collapse:collapse;font-size:13.5px;width:100%}
        th{font-size:12.5px;color:var(--soft);font-weight:600;text-align:left}
        th,td{padding:7px 10px;border-bottom:1px solid var(--line);vertical-align:top}
        tbody tr:last-child td,tbody tr:last-child th{border-bottom:0}
        .n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
        td .source,dt.source{color:var(--source)}td .target,dt.target{color:var(--target)}
        td.bars,th.bars{min-width:150px;width:22%}td.bars i{display:block;height:9px;margin:6px 0 0;border-radius:2px}
        table.matrix{width:auto}.matrix td.zero{color:var(--soft)}.matrix td.same{background:var(--goodback);
        color:var(--good)}
        .matrix td.other{background:var(--badback);color:var(--bad);font-weight:600}
        .matrix td.unknown{background:var(--warnback);color:var(--warn)}
        code,pre{font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
        code{overflow-wrap:anywhere}td code{display:inline-block;min-width:190px}
        pre{margin:0;background:var(--code);border-radius:6px;padding:8px 10px;white-space:pre-wrap;
        overflow-wrap:anywhere;
        max-height:260px;overflow:auto}
        details.difference{border-top:1px solid var(--line)}details.difference:first-of-type{border-top:0}
        summary{display:grid;grid-template-columns:16px minmax(56px,auto) 1fr auto;gap:12px;padding:10px 0;
        cursor:pointer;
        list-style:none;align-items:start}
        summary::-webkit-details-marker{display:none}summary::before{content:"▸";color:var(--soft)}
        details[open]>summary::before{content:"▾"}summary:focus-visible{outline:2px solid var(--source);
        border-radius:4px}
        summary .count{font-weight:700;text-align:right;font-variant-numeric:tabular-nums}.what{min-width:0}
        dl{display:grid;grid-template-columns:70px minmax(0,1fr);gap:8px 12px;margin:0 0 14px 28px;font-size:13px}
        dt{font-weight:600}dd{margin:0;position:relative}
        .copy button{position:absolute;top:6px;right:6px;font:12px system-ui,sans-serif;color:var(--ink);
        background:var(--card);border:1px solid var(--line);border-radius:5px;padding:2px 8px;cursor:pointer}
        .copy pre{padding-right:74px}
        footer{color:var(--soft);font-size:13px;overflow-wrap:anywhere}footer p{margin-top:6px}
        @media (max-width:640px){main{padding:16px 12px 32px}section{padding:14px}svg.wide{display:none}
        svg.compact{display:block}.verdict{flex-direction:column;align-items:flex-start;gap:6px}
        section.tiles{grid-template-columns:1fr 1fr}dl{grid-template-columns:minmax(0,1fr);margin-left:0}
        summary{gap:8px}.tile .count small{display:block}}
        @media print{body{background:#fff}section{break-inside:avoid}.copy button{display:none}}
        """

    static let script = """
        document.addEventListener("click",function(e){var b=e.target.closest(".copy button");if(!b)return;
        var t=b.nextElementSibling.textContent,d=function(){b.textContent="Copied";
        setTimeout(function(){b.textContent="Copy"},1500)};
        if(navigator.clipboard&&isSecureContext){navigator.clipboard.writeText(t).then(d)}else{
        var r=document.createRange();r.selectNodeContents(b.nextElementSibling);var s=getSelection();
        s.removeAllRanges();
        s.addRange(r);try{document.execCommand("copy");d()}catch(x){}}});
        """
}
