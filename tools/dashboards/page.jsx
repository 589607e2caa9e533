// SPDX-License-Identifier: Apache-2.0

// The page that draw.mjs photographs: a dashboard's panels on its grid.

import React from 'react';
import { createRoot } from 'react-dom/client';
import { AnnotationDomainType, Axis, BarSeries, Chart, Heatmap, LIGHT_THEME, LineAnnotation, LineSeries, Position, ScaleType, Settings } from '@elastic/charts';

const { dashboard } = window;
const from = Date.parse(dashboard.from);
const to = Date.parse(dashboard.to);

// The colours of Lens: of series in their order, of the palette "status" from good to bad, and of heat maps.
const series = ['#16C5C0', '#61A2FF', '#EE72A6', '#F6726A', '#EAAE01', '#BFA180', '#A6EDEA', '#BFDBFF', '#FFC7DB', '#FFC9C2', '#FCD883', '#B79AFF', '#6BA34D', '#98A2B3'];
const status = ['#24C292', '#AEE8D2', '#FCD883', '#F6726A', '#C61E25'];
const heat = ['#61A2FF', '#BFDBFF', '#FBE9C0', '#FFC9C2', '#F6726A'];

// The widths of legends in Kibana.
const legendSizes = { small: 80, medium: 130, large: 180, xlarge: 230 };

const isTime = (column) => column.dataType === 'date';

// shown is a value as its column shows it.
function shown(value, column = {}) {
  if (value === undefined || value === null || value === '') return '-';
  if (Array.isArray(value)) return value.map((v) => shown(v, column)).join(', ');
  if (isTime(column)) return new Date(value).toISOString().slice(0, 19).replace('T', ' ');
  if (typeof value !== 'number') return String(value);
  const { decimals, suffix = '' } = column.params?.format?.params ?? {};
  return value.toLocaleString('en-US', { maximumFractionDigits: decimals ?? 2 }) + suffix;
}

// at follows a dotted field through a document.
function at(document, field) {
  return field.split('.').reduce((v, name) => (v === undefined ? undefined : v[name]), document);
}

// each is what a list shows of a dotted field: of a list of objects the value of each, as the search's `fields` have it.
function each(v, names) {
  if (Array.isArray(v)) return v.flatMap((one) => each(one, names) ?? []);
  return names.length === 0 || v === undefined ? v : each(v[names[0]], names.slice(1));
}

// valueOf is a column's value in a bucket.
function valueOf(bucket, id, column) {
  if (column.operationType === 'count') return bucket.doc_count;
  let found = bucket[id];
  if (found?.[id]) found = found[id]; // a column with a filter of its own
  if (found?.values) return Object.values(found.values)[0];
  if (found?.hits) return at(found.hits.hits[0]?._source ?? {}, column.sourceField);
  return found?.value;
}

// rowsOf makes rows of buckets within buckets, in the order of the columns that part them.
function rowsOf(aggregations, columns) {
  const parting = Object.keys(columns).filter((id) => columns[id].isBucketed);
  const rows = [];
  const walk = (holder, depth, row) => {
    const next = Object.keys(holder).find((id) => parting.includes(id) && !(id in row) && holder[id]?.buckets);
    if (!next) {
      for (const [id, c] of Object.entries(columns)) if (!c.isBucketed) row[id] = valueOf(holder, id, c);
      rows.push(row);
      return;
    }
    const { buckets } = holder[next];
    if (Array.isArray(buckets) && buckets.length === 0 && depth > 0) rows.push(row); // a step of time in which nothing was
    else if (Array.isArray(buckets)) for (const b of buckets) walk(b, depth + 1, { ...row, [next]: b.key });
    else for (const c of columns[next].params.filters) walk(buckets[c.label], depth + 1, { ...row, [next]: c.label });
  };
  walk(aggregations, 0, {});
  return rows;
}

function Metric({ panel, found }) {
  const id = panel.visualization.metricAccessor;
  const column = panel.columns[id];
  const value = found.rows ? found.rows[0]?.[column.fieldName] ?? 0 : column.operationType === 'count' ? found.answer.hits.total.value : valueOf(found.answer.aggregations, id, column);
  return (
    <div className="metric">
      <b>{shown(value, column)}</b>
      <span>{panel.visualization.subtitle}</span>
    </div>
  );
}

function Grid({ head, rows, wrap }) {
  return (
    <table className={wrap ? 'wrap' : ''}>
      <thead><tr>{head.map((h) => <th key={h}>{h}</th>)}</tr></thead>
      <tbody>{rows.map((cells, i) => <tr key={i}>{cells.map((c, j) => <td key={j} className={c.number ? 'number' : ''}><div>{c.text}</div></td>)}</tr>)}</tbody>
    </table>
  );
}

function Table({ panel, found }) {
  const ids = panel.visualization.columns.map((c) => c.columnId);
  const all = found.rows ? found.rows.map((r) => Object.fromEntries(ids.map((id) => [id, r[panel.columns[id].fieldName]]))) : rowsOf(found.answer.aggregations ?? {}, panel.columns);
  const { columnId, direction } = panel.visualization.sorting;
  const sign = direction === 'asc' ? 1 : -1;
  const order = (a, b) => (a[columnId] < b[columnId] ? -sign : a[columnId] > b[columnId] ? sign : 0);
  const rows = [...all].sort(order).slice(0, panel.visualization.paging.size);
  return <Grid head={ids.map((id) => panel.columns[id].label)} rows={rows.map((r) => ids.map((id) => ({ text: shown(r[id], panel.columns[id]), number: typeof r[id] === 'number' && !isTime(panel.columns[id]) })))} />;
}

function List({ panel, found }) {
  const hits = found.answer.hits.hits.map((h) => h._source);
  const cell = (doc, field) => {
    const v = each(doc, field.split('.'));
    return { text: shown(v, field === '@timestamp' ? { dataType: 'date' } : {}), number: typeof v === 'number' };
  };
  const fields = ['@timestamp', ...panel.columns];
  return <Grid wrap head={fields} rows={hits.slice(0, 15).map((doc) => fields.map((f) => cell(doc, f)))} />;
}

function Bars({ panel, found }) {
  const [layer, ...lines] = panel.visualization.layers;
  const split = layer.collapseFn ? undefined : layer.splitAccessor;
  const data = [];
  const rows = rowsOf(found.answer.aggregations ?? {}, panel.columns);
  const steps = [...new Set(rows.map((r) => r[layer.xAccessor]))].sort((a, b) => a - b);
  const minInterval = steps.length > 1 ? steps[1] - steps[0] : undefined; // a single bar has the width of a step, too
  for (const row of rows) {
    if (split && row[split] === undefined) continue; // a step of time in which nothing was
    for (const id of layer.accessors) data.push({ x: row[layer.xAccessor], y: row[id] ?? null, of: split ? row[split] : panel.columns[id].label });
  }
  const names = split ? panel.columns[split].params.filters?.map((f) => f.label) ?? [...new Set(data.map((d) => d.of))] : layer.accessors.map((id) => panel.columns[id].label);
  const palette = layer.palette?.name === 'status' ? status.slice(status.length - names.length) : series;
  const color = ({ specId, splitAccessors }) => palette[names.indexOf(splitAccessors.get('of')) % palette.length];
  const Series = layer.seriesType === 'line' ? LineSeries : BarSeries;
  const day = to - from > 2 * 86400e3;
  return (
    <Chart>
      <Settings baseTheme={LIGHT_THEME} theme={{ chartMargins: { right: lines.length ? 44 : 10 } }} showLegend={panel.visualization.legend.isVisible} legendPosition={Position.Right} legendSize={legendSizes[panel.visualization.legend.legendSize]} xDomain={{ min: from, max: to, minInterval }} locale="en" />
      <Axis id="x" position={Position.Bottom} tickFormat={(v) => new Date(v).toISOString().slice(day ? 5 : 11, day ? 10 : 16)} />
      <Axis id="y" position={Position.Left} ticks={5} tickFormat={(v) => (Number.isInteger(v) ? v.toLocaleString('en-US') : '')} gridLine={{ visible: true }} domain={{ fit: false, min: NaN, max: NaN }} />
      {lines.map((l) => {
        const c = panel.columns[l.accessors[0]];
        const { color: stroke } = l.yConfig[0];
        return <LineAnnotation key={l.layerId} id={l.layerId} domainType={AnnotationDomainType.YDomain} dataValues={[{ dataValue: Number(c.params.value), details: c.label }]}
          style={{ line: { stroke, strokeWidth: 2, opacity: 1, dash: [6, 4] } }} marker={<span style={{ color: stroke }}>{c.label}</span>} markerPosition={Position.Right} />;
      })}
      <Series id="s" xScaleType={ScaleType.Time} yScaleType={ScaleType.Linear} timeZone="utc" xAccessor="x" yAccessors={['y']} splitSeriesAccessors={['of']}
        stackAccessors={layer.seriesType === 'bar_stacked' ? ['x'] : undefined} data={data} color={color} name={({ splitAccessors }) => splitAccessors.get('of')} sortIndex={1} />
    </Chart>
  );
}

function Heat({ panel, found }) {
  const { xAccessor, yAccessor, valueAccessor, palette } = panel.visualization;
  const rows = rowsOf(found.answer.aggregations ?? {}, panel.columns).map((r) => ({ x: r[xAccessor], y: r[yAccessor], v: r[valueAccessor] ?? 0 }));
  const highest = Math.max(1, ...rows.map((r) => r.v));
  const steps = palette?.params?.colorStops ?? heat.map((color, i) => ({ color, stop: (highest * i) / heat.length }));
  const bands = steps.map(({ color, stop }, i) => ({ start: stop, end: steps[i + 1]?.stop ?? Infinity, color }));
  return (
    <Chart>
      <Settings baseTheme={LIGHT_THEME} theme={{ heatmap: { cell: { label: { visible: false } } } }} showLegend legendPosition={Position.Right} legendSize={legendSizes[panel.visualization.legend.legendSize]} />
      <Heatmap id="h" data={rows} xAccessor="x" yAccessor="y" valueAccessor="v" valueFormatter={(v) => shown(v, panel.columns[valueAccessor])} colorScale={{ type: 'bands', bands }}
        xSortPredicate="alphaAsc" ySortPredicate="alphaAsc" xScale={{ type: 'ordinal' }} name={panel.columns[valueAccessor].label} />
    </Chart>
  );
}

const kinds = { lnsMetric: Metric, lnsDatatable: Table, lnsXY: Bars, lnsHeatmap: Heat, search: List };

function Panel({ panel }) {
  if (panel.kind === 'links') return <nav>{panel.links.map((l) => <a key={l}>{l}</a>)}</nav>;
  const Kind = kinds[panel.kind];
  return <Kind panel={panel} found={dashboard.answers[panel.id]} />;
}

function Dashboard() {
  const column = (window.innerWidth - 24) / 48;
  const day = (t) => new Date(t).toISOString().slice(0, 16).replace('T', ' ');
  return (
    <main>
      <header>
        <h1>{dashboard.title}</h1>
        <i>Drawn from the dashboard's own queries of simulated hosts, by the library that Kibana draws with; this is no screenshot of Kibana.</i>
      </header>
      <div className="bar">
        <code>{dashboard.query || 'Filter your data using KQL syntax'}</code>
        {dashboard.controls.map((c) => <span key={c}>{c}<em>Any</em></span>)}
        <span>{day(from)} to {day(to)} UTC</span>
      </div>
      <section style={{ position: 'relative' }}>
        {dashboard.panels.map((p) => (
          <article key={p.id} style={{ left: p.grid.x * column, top: p.grid.y * dashboard.unit, width: p.grid.w * column - 8, height: p.grid.h * dashboard.unit - 8 }}>
            {p.title && <h2>{p.title}</h2>}
            <div className="body" style={{ height: p.grid.h * dashboard.unit - (p.title ? 40 : 12) }}><Panel panel={p} /></div>
          </article>
        ))}
      </section>
    </main>
  );
}

createRoot(document.getElementById('root')).render(<Dashboard />);
