// The chart of a metric, stacked, window by window. Nothing that a tenant wrote gets into the
// chart itself: names are in the legend and in the table.
import uPlot from 'uplot'
import { useEffect, useRef } from 'preact/hooks'
import { useSignal } from '@preact/signals'
import { decimal, ratio, unitWords, windowName, marked } from './format.js'
import { isDark, zone } from './state.js'
import { Coverage, Table } from './parts.jsx'

const palettes = {
  light: ['#2563a8', '#c2570c', '#0f766e', '#8b3a9c', '#a16207', '#be2d5b', '#4d7c0f', '#475569', '#1d8fb5', '#7a4a2b'],
  dark: ['#6ea8f0', '#f29a52', '#4cc4b4', '#cf8be0', '#e0b848', '#f07aa0', '#a3cf55', '#a8b3c4', '#6fd0f0', '#c9a184'],
}
const colourOf = (i, others) => (others ? (isDark() ? '#5b6472' : '#a3abb8') : palettes[isDark() ? 'dark' : 'light'][i % 10])

/** Chart shows lines of one metric. Name gives what a line is called. */
export function Chart({ series, lines, others, total, size, name, link }) {
  const box = useRef(null)
  const at = useSignal(null)
  const all = others ? [...lines, others] : lines
  const dark = isDark()
  useEffect(() => {
    if (!total) return
    const plot = draw(box.current, series, all, total, size, (index) => { at.value = index })
    const watch = new ResizeObserver(() => plot.setSize({ width: box.current.clientWidth, height: 260 }))
    watch.observe(box.current)
    return () => { watch.disconnect(); plot.destroy() }
  }, [series, total, size, dark, zone.value])
  if (!total) return null
  const shown = at.value
  const said = 'Stacked chart of ' + total.resourceType + ' ' + total.dimension + ' in ' + unitWords(total.unit) + ' per ' + size + '; the table below has the figures.'
  const figure = (line) => {
    if (shown === null) return line.total ? marked(decimal(line.total.exact, line.scale), line.accuracy) : 'unknown'
    const exact = line.exact[shown]
    return exact === null ? 'unknown' : decimal(exact, line.scale)
  }
  return <>
    <div class="chart" ref={box} role="img" aria-label={said} />
    <p class="readout" aria-hidden="true">{shown === null ? 'whole window' : windowName(series.windows[shown].startTime, zone.value, size)}: {figure(total)} {unitWords(total.unit)}</p>
    <ul class="legend lines">
      {all.map((line, i) => <li key={i}>
        <svg class="swatch" viewBox="0 0 10 10" aria-hidden="true"><rect width="10" height="10" rx="2" fill={colourOf(i, line === others)} /></svg>
        {line !== others && link && link(line) ? <a href={link(line)}>{name(line)}</a> : <span>{line === others ? line.count + ' others' : name(line)}</span>}
        <span class="figure">{figure(line)}</span>
      </li>)}
    </ul>
    <Coverage windows={series.windows} size={size} />
    <details>
      <summary>All figures, window by window</summary>
      <Table caption={'Figures in ' + unitWords(total.unit)} head={[['Window'], ...all.map((line) => [line === others ? line.count + ' others' : name(line), true]), ['Total', true]]}>
        {series.windows.map((w, i) => <tr key={w.startTime}>
          <th scope="row">{windowName(w.startTime, zone.value, size)}</th>
          {[...all, total].map((line, j) => <td key={j} class="right">{line.exact[i] === null ? <span class="unknown">unknown</span> : <span title={'exactly ' + line.exact[i]}>{decimal(line.exact[i], line.scale)}</span>}</td>)}
        </tr>)}
      </Table>
    </details>
  </>
}

function draw(box, series, lines, total, size, hover) {
  const dark = isDark()
  const ink = dark ? '#b4bcc8' : '#4a5361'
  const grid = { stroke: dark ? '#2a303a' : '#e4e7ec', width: 1 }
  const x = series.windows.map((w) => Date.parse(w.startTime) / 1000)
  const sums = x.map(() => 0)
  // Each line is drawn as far as it and those below reach, the highest first.
  const stacked = lines.map((line) => line.exact.map((exact, i) => {
    if (exact !== null) sums[i] += ratio(exact, line.scale)
    return exact === null && total.exact[i] === null ? null : sums[i]
  }))
  const order = stacked.map((_, i) => i).reverse()
  const bars = uPlot.paths.bars({ size: [0.86, 90], align: 1, gap: 1 })
  const last = series.windows[series.windows.length - 1]
  const options = {
    width: box.clientWidth, height: 260, legend: { show: false }, padding: [10, 8, 0, 0],
    tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), zone.value),
    cursor: { points: { show: false }, drag: { x: false, y: false }, y: false },
    scales: { x: { time: true, range: [x[0], Date.parse(last.endTime) / 1000] }, y: { range: (_, __, max) => [0, max > 0 ? max * 1.08 : 1] } },
    axes: [
      { stroke: ink, grid: { show: false }, ticks: grid, size: size === 'hour' ? 48 : 34, values: short(size) },
      { stroke: ink, grid, ticks: { show: false }, size: 62, values: (_, ticks) => ticks.map((v) => String(Number(v.toPrecision(6)))) },
    ],
    series: [{}, ...order.map((i) => ({ fill: colourOf(i, lines[i].count > 0), stroke: colourOf(i, lines[i].count > 0), width: 0, paths: bars, points: { show: false } }))],
    hooks: { drawClear: [(u) => hatch(u, series.windows, dark)], setCursor: [(u) => hover(u.cursor.idx ?? null)] },
  }
  return new uPlot(options, [x, ...order.map((i) => stacked[i])], box)
}

// short is how the windows of a size are called on the axis.
const short = (size) => (_, ticks) => ticks.map((t) => new Intl.DateTimeFormat('en-GB', {
  timeZone: zone.value,
  ...(size === 'hour' ? { day: '2-digit', month: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } : size === 'month' ? { month: 'short', year: 'numeric' } : { day: '2-digit', month: 'short' }),
}).format(new Date(t * 1000)).replace(', ', '\n'))

// hatch draws what is unknown, not as zero: of each window, as much of it, from above.
function hatch(u, windows, dark) {
  const c = u.ctx
  const { left, top, width, height } = u.bbox
  c.save()
  c.beginPath()
  for (const w of windows) {
    if (w.unknownSeconds === 0) continue
    const from = u.valToPos(Date.parse(w.startTime) / 1000, 'x', true)
    const to = u.valToPos(Date.parse(w.endTime) / 1000, 'x', true)
    const part = (w.unknownSeconds * 1000) / (Date.parse(w.endTime) - Date.parse(w.startTime))
    c.rect(from, top, to - from, height * part)
  }
  c.clip()
  c.strokeStyle = dark ? '#4a5260' : '#c3c9d2'
  c.lineWidth = devicePixelRatio
  c.beginPath()
  for (let x = left - height; x < left + width; x += 9 * devicePixelRatio) {
    c.moveTo(x, top + height)
    c.lineTo(x + height, top)
  }
  c.stroke()
  c.restore()
}
