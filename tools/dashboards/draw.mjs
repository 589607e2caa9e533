// SPDX-License-Identifier: Apache-2.0

// Draws the dashboards without a Kibana: each panel of _meta/kibana, with what a search node answered to the panel's own query, by the library that Kibana's Lens draws
// with. `go tool mage dashboards` asks the node and calls this.
//
//	node draw.mjs ANSWERS KIBANA OUT...
//
// ANSWERS is a folder with a file DASHBOARD.json for each dashboard, {from, to, query, answers: {PANEL: {answer} or {rows}}}, as TestStackShowsTheAttack writes them;
// KIBANA the folder _meta/kibana; OUT the folders that the pictures, DASHBOARD.png, go to: kibana-NAME.png in the first one, in the others without kibana-.
// It wants Chromium on the path, and leaves nothing but the pictures.

import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = path.dirname(fileURLToPath(import.meta.url));
const width = 1440; // of the pictures
const unit = 20; // pixels of one row of a dashboard's grid, as in Kibana

const [answers, kibana, ...outs] = process.argv.slice(2);
if (outs.length === 0) {
  console.error('usage: node draw.mjs ANSWERS KIBANA OUT...');
  process.exit(2);
}

// panelOf is what the page must know of a panel of a saved dashboard.
function panelOf(panel) {
  const attributes = panel.embeddableConfig.attributes;
  const about = { id: panel.panelIndex, kind: panel.type, grid: panel.gridData, title: panel.title };
  if (panel.type === 'links') return { ...about, links: attributes.links.map((l) => l.label) };
  if (panel.type === 'search') return { ...about, columns: attributes.columns, by: attributes.sort[0][0] };
  const { datasourceStates, visualization } = attributes.state;
  const columns = {};
  for (const layer of Object.values(datasourceStates.formBased.layers)) Object.assign(columns, layer.columns);
  for (const layer of Object.values(datasourceStates.textBased.layers)) {
    for (const c of layer.columns) columns[c.columnId] = { ...c, dataType: c.meta.type, isBucketed: !c.inMetricDimension };
  }
  return { ...about, kind: attributes.visualizationType, visualization, columns };
}

const chromium = ['chromium', 'chromium-browser', 'google-chrome'].find((name) => {
  try {
    execFileSync(name, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
});
if (!chromium) {
  console.error('NO CHROMIUM ON THIS MACHINE (Debian: chromium)');
  process.exit(1);
}

const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'reconbeat-dashboards-'));
try {
  const script = path.join(scratch, 'page.js');
  await build({ entryPoints: [path.join(here, 'page.jsx')], bundle: true, outfile: script, minify: true, logLevel: 'error', define: { 'process.env.NODE_ENV': '"production"' } });
  const styles = ['node_modules/@elastic/charts/dist/theme_light.css', 'page.css'].map((f) => fs.readFileSync(path.join(here, f), 'utf8')).join('\n');
  for (const file of fs.readdirSync(answers).sort()) {
    const name = path.basename(file, '.json');
    const saved = JSON.parse(fs.readFileSync(path.join(kibana, '7', 'dashboard', `${name}.links.json`), 'utf8'));
    const controls = Object.values(JSON.parse(saved.attributes.controlGroupInput.panelsJSON)).sort((a, b) => a.order - b.order);
    const data = {
      ...JSON.parse(fs.readFileSync(path.join(answers, file), 'utf8')),
      title: saved.attributes.title,
      controls: controls.map((c) => c.explicitInput.title),
      panels: saved.attributes.panelsJSON.map(panelOf),
      unit,
    };
    const rows = Math.max(...data.panels.map((p) => p.grid.y + p.grid.h));
    const page = path.join(scratch, `${name}.html`);
    const json = JSON.stringify(data).replaceAll('<', '\\u003c'); // a command line must not end the script
    fs.writeFileSync(page, `<!doctype html><meta charset="utf-8"><title>${name}</title><style>${styles}</style><div id="root"></div>
      <script>window.dashboard = ${json}</script><script src="page.js"></script>`);
    const height = rows * unit + 92;
    const picture = path.join(scratch, `${name}.png`);
    const { stderr } = spawnSync(chromium, ['--headless', '--enable-logging=stderr', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--force-device-scale-factor=1', '--virtual-time-budget=8000',
      `--user-data-dir=${path.join(scratch, 'profile')}`, `--window-size=${width},${height}`, `--screenshot=${picture}`, `file://${page}`], { encoding: 'utf8' });
    const fault = stderr.split('\n').find((line) => line.includes('CONSOLE') && line.includes('Error'));
    if (fault || !fs.existsSync(picture)) throw new Error(`drawing ${name}: ${fault ?? stderr}`);
    outs.forEach((out, i) => fs.copyFileSync(picture, path.join(out, `${i === 0 ? 'kibana-' : ''}${name.replace(/^reconbeat-/, '')}.png`)));
    console.log(`${name}: ${width} x ${height}`);
  }
} finally {
  fs.rmSync(scratch, { recursive: true, force: true });
}
