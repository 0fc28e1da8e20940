"""The report's page. One file, no script, no outside resource."""

TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Restoration report</title>
<style>
:root { --ink: #1d2228; --dim: #69727d; --line: #e3e7eb; --paper: #fff; --wash: #f6f8fa;
        --good: #1a7f4b; --plain: #3f6fb5; --bad: #b3541e; --fail: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ec; --dim: #97a1ac; --line: #30363d; --paper: #14181c; --wash: #1b2026;
          --good: #4fc48a; --plain: #7ea9ea; --bad: #e59a66; --fail: #f0837b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 40px 24px 80px; }
h1 { font-size: 26px; font-weight: 650; margin: 0 0 4px; }
.dim { color: var(--dim); }
code { font: 12.5px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
.totals { display: flex; flex-wrap: wrap; gap: 12px; margin: 24px 0 32px; }
.totals div { background: var(--wash); border-radius: 10px; padding: 12px 18px; min-width: 130px; }
.totals b { display: block; font-size: 26px; font-weight: 650; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: right; font-weight: 500; color: var(--dim); font-size: 13px; }
th, td { padding: 7px 10px; border-bottom: 1px solid var(--line); white-space: nowrap; text-align: right; }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }
.restored { color: var(--good); } .passed_through { color: var(--plain); }
.refused { color: var(--bad); } .failed { color: var(--fail); }
section { margin-top: 36px; }
section img { width: 100%; border-radius: 8px; display: block; margin-top: 8px; }
h2 { font-size: 17px; margin: 0; font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 18px; margin: 8px 0 0; font-size: 13px; }
dt { color: var(--dim); } dd { margin: 0; }
</style>
</head>
<body><main>
<h1>Restoration report</h1>
<div class="dim">Model <code>{{ model[:16] or "none" }}</code>{% if settings %} &middot;
  tasks {{ settings.tasks | join(" + ") }} &middot; {{ settings.steps }} steps &middot;
  guidance {{ settings.guidance }} &middot; seed {{ settings.seed }}{% endif %}</div>
<div class="totals">
{% for name, count in summary.items() %}
  <div><b class="{{ name }}">{{ count }}</b>{{ name | replace("_", " ") }}</div>
{% endfor %}
</div>
<div class="scroll"><table>
<tr><th>File</th><th>Outcome</th><th>Size</th><th>Frames</th><th>With face</th><th>Tracks</th><th>Persons</th>
<th>Identity distance</th><th>Unsteadiness</th><th>Seconds</th><th>Peak MiB</th></tr>
{% for r in reports %}
<tr><td>{{ r.input }}</td>
<td class="{{ r.status }}">{{ r.status | replace("_", " ") }}{% if r.reason %} ({{ r.reason }}){% endif %}
{% if r.skipped %}<span class="dim">earlier run</span>{% endif %}</td>
<td>{% if r.width %}{{ r.width }} &times; {{ r.height }}{% endif %}</td><td>{{ r.frames or "" }}</td>
<td>{{ r.frames_with_faces or "" }}</td><td>{{ r.tracks or "" }}</td><td>{{ r.persons or "" }}</td>
<td>{% if r.identity_distance is not none %}{{ "%.3f" | format(r.identity_distance) }}{% endif %}</td>
<td>{% if r.unsteadiness is not none %}{{ "%.2f" | format(r.unsteadiness) }}{% endif %}</td>
<td>{{ "%.1f" | format(r.seconds) }}</td><td>{{ "%.0f" | format(r.peak_memory_mib) }}</td></tr>
{% endfor %}
</table></div>
<p class="dim">Identity distance: between face embeddings of input and result
({{ backends | join(", ") or "none" }}); 0 is the same.
Unsteadiness: change from frame to frame relative to the input's; 1 is as steady as the input, more flickers.</p>
{% for r in reports %}
<section>
<h2>{{ r.input }} <span class="{{ r.status }}">{{ r.status | replace("_", " ") }}</span></h2>
{% if r.message %}<div class="dim">{{ r.message }}</div>{% endif %}
{% for text in r.warnings %}<div class="refused">{{ text }}</div>{% endfor %}
{% if sheets[r.input] %}
<img alt="Frames of {{ r.input }}: input above, result below" src="{{ sheets[r.input] }}">
{% endif %}
{% if r.track_rows %}
<div class="scroll"><table>
<tr><th>Track</th><th>Person</th><th>First frame</th><th>Frames</th><th>Face px</th><th>Reference</th>
<th>Identity distance</th><th>Unsteadiness</th></tr>
{% for t in r.track_rows %}
<tr><td>{{ t.track }}</td><td>{{ t.person }}</td><td>{{ t.first_frame }}</td><td>{{ t.frames }}</td>
<td>{{ "%.0f" | format(t.face_px) }}</td><td>{{ t.reference }}</td>
<td>{% if t.identity_distance is not none %}{{ "%.3f" | format(t.identity_distance) }}{% endif %}</td>
<td>{% if t.unsteadiness is not none %}{{ "%.2f" | format(t.unsteadiness) }}{% endif %}</td></tr>
{% endfor %}
</table></div>
{% endif %}
<dl>
{% if r.tasks %}<dt>tasks</dt><dd>{{ r.tasks | join(" + ") }}</dd>{% endif %}
<dt>input sha256</dt><dd><code>{{ r.input_sha256 }}</code></dd>
{% if r.model_sha256 %}<dt>model</dt><dd>{{ r.model_family }} <code>{{ r.model_sha256 }}</code></dd>{% endif %}
{% if r.output %}<dt>output</dt><dd>{{ r.output }} <code>{{ r.output_sha256 }}</code></dd>{% endif %}
</dl>
</section>
{% endfor %}
{% if settings %}
<section><h2>Settings</h2><dl>
{% for name, value in settings.items() %}<dt>{{ name }}</dt><dd><code>{{ value }}</code></dd>
{% endfor %}
</dl></section>
{% endif %}
</main></body></html>
"""
