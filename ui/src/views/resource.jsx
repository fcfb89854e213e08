// A resource as lanes: a dimension each, its segments by time, and how each end is known.
import { useSignal } from '@preact/signals'
import { useAnswer } from '../api.js'
import { duration, quantity, time, unitWords, utc } from '../format.js'
import { Answer, Moment, Table } from '../parts.jsx'
import { bounds, frame, href, zone } from '../state.js'

export function Resource({ uid }) {
  const cursor = useSignal('')
  const query = new URLSearchParams({ uid, ...bounds(), ...(cursor.value ? { cursor: cursor.value } : {}) })
  const answer = useAnswer('resource' + uid + frame.value.last + cursor.value, !frame.value.wrong && ['GET', 'v1alpha1/resources?' + query])
  const found = answer.answer?.resources[0]
  return <>
    <nav class="crumbs" aria-label="Where this is"><a href={href(['overview'])}>Overview</a>{found?.namespace && <> <a href={href(['tenant', found.namespace])}>{found.namespace}</a></>}</nav>
    <h1><span class="kind">{found?.resourceType || 'Resource'}</span> {found?.name || uid}</h1>
    <Answer of={answer}>{(list) => {
    const r = list.resources[0]
    if (!r) return <Held coverage={list.coverage} />
    return <>
      <p class="note">{r.kind} {r.apiVersion && '(' + r.apiVersion + ')'} · UID {r.uid} · figures up to <Moment at={list.known} />, final up to <Moment at={list.sealed} /></p>
      <div class="metrics">{r.totals.map((t) => <div class="metric" key={t.dimension + t.unit}><span class="name">{t.dimension}</span><span class="figure" title={'exactly ' + t.exact + ' ' + t.exactUnit}>{quantity(t.quantity)} <span class="unit">{unitWords(t.unit)}</span></span></div>)}</div>
      <Partly coverage={list.coverage} />
      <Lanes resource={r} list={list} />
      {list.next && <p><button onClick={() => { cursor.value = list.next }}>Later segments</button></p>}
    </>
    }}</Answer>
  </>
}

/** Held says that there are no segments, and whether that means zero or unknown. */
function Held({ coverage: c }) {
  const [title, said] = !c ? ['It has not begun', 'No time has passed in this window.']
    : c.percent === '0' ? ['Unknown', 'None of this time was seen: what it held then is unknown, not zero.']
      : c.percent === '100' ? ['It held nothing in this time', 'All of this time was seen.']
        : ['It held nothing in the time that is known', c.percent + ' % of this time is known; what it held in the rest is unknown.']
  return <section class="state"><h2>{title}</h2><p>{said} Choose another window to see when it held something.</p></section>
}

/** Partly says that a part of the time is not known, or only within bounds. */
function Partly({ coverage: c }) {
  if (!c || (c.unknownSeconds === 0 && c.estimatedSeconds === 0)) return null
  const said = [c.unknownSeconds > 0 && duration(c.unknownSeconds) + ' were not seen: what it held then is unknown, and what goes on across them is taken to have gone on', c.estimatedSeconds > 0 && 'for ' + duration(c.estimatedSeconds) + ' moments are known only within bounds']
  return <p class="banner">Of this time {c.percent} % is known. {said.filter(Boolean).join('; ').replace(/^f/, 'F')}.</p>
}

function Lanes({ resource, list }) {
  const chosen = useSignal(null)
  const lanes = new Map()
  for (const s of [...resource.segments, ...(resource.corrections || [])]) {
    const name = [s.dimension, s.container, s.instance !== resource.name && s.instance].filter(Boolean).join(' · ')
    lanes.set(name, [...(lanes.get(name) || []), s])
  }
  const from = Date.parse(list.from || resource.segments[0]?.start.time)
  const to = Math.min(Date.parse(list.to), Date.parse(list.known))
  const shown = resource.segments.find((s) => s.id === chosen.value) || (resource.corrections || []).find((s) => s.id === chosen.value)
  const all = [...lanes.entries()].slice(0, 60)
  const gaps = list.coverage?.gaps || []
  return <section class="card">
    <header class="bar"><h2>Segments</h2><span class="unit">choose one to see why its figure is what it is</span></header>
    <div class="lanes">
      {all.map(([name, segments]) => <Lane key={name} name={name} segments={segments} gaps={gaps} from={from} to={to} chosen={chosen} />)}
      <p class="axis">{[0, 1, 2, 3, 4].map((i) => <span key={i}>{time(from + ((to - from) * i) / 4, zone.value, 'minute')}</span>)}</p>
    </div>
    {gaps.length > 0 && <ul class="legend">{['Unknown', 'Estimated'].filter((kind) => gaps.some((g) => g.coverage === kind)).map((kind) => <li key={kind}><i class={'swatch c-' + kind.toLowerCase()} /> {kind.toLowerCase()}</li>)}</ul>}
    {lanes.size > all.length && <p class="note">{lanes.size - all.length} more lanes are in the table alone.</p>}
    {shown ? <Why segment={shown} list={list} /> : null}
    <details>
      <summary>All segments</summary>
      <Table caption="Segments" head={[['Dimension'], ['Level', true], ['From'], ['To'], ['Usage', true], ['Start'], ['End'], ['']]}>
        {[...resource.segments, ...(resource.corrections || [])].map((s) => <tr key={s.id + (s.correction || '')}>
          <th scope="row">{s.dimension}{s.correction ? ' (correction: ' + s.correction + ')' : ''}</th>
          <td class="right">{s.level} {s.unit}</td><td><Moment at={s.start.time} /></td><td>{s.end ? <Moment at={s.end.time} /> : 'goes on'}</td>
          <td class="right">{quantity(s.quantity)} {s.hourUnit}s</td><td>{s.start.evidence}</td><td>{s.end ? s.end.evidence : '–'}</td>
          <td><button onClick={() => { chosen.value = s.id }}>Why?</button></td>
        </tr>)}
      </Table>
    </details>
  </section>
}

function Lane({ name, segments, gaps, from, to, chosen }) {
  const most = Math.max(...segments.map((s) => s.exactLevel), 1)
  const highest = segments.find((s) => s.exactLevel === most)
  const wide = to - from || 1
  return <div class="lane">
    <h3>{name}{highest && <span class="unit"> up to {highest.level} {highest.unit}</span>}</h3>
    <svg viewBox="0 0 1000 40" preserveAspectRatio="none" role="group" aria-label={'Segments of ' + name}>
      {segments.map((s) => {
        const start = Math.max(0, ((Date.parse(s.start.time) - from) / wide) * 1000)
        const end = Math.min(1000, s.end ? ((Date.parse(s.end.time) - from) / wide) * 1000 : 1000)
        const high = Math.max(4, (s.exactLevel / most) * 38)
        const choose = () => { chosen.value = s.id }
        const label = s.dimension + ' ' + s.level + ' ' + s.unit + ' from ' + time(s.start.time, zone.value) + (s.end ? ' to ' + time(s.end.time, zone.value) : ', goes on') + '; start: ' + s.start.evidence + (s.end ? '; end: ' + s.end.evidence : '')
        return <rect key={s.id + (s.correction || '')} class={'segment' + (s.correction ? ' ' + s.correction : '') + (chosen.value === s.id ? ' chosen' : '')} x={start} y={40 - high} width={Math.max(2, end - start)} height={high}
          tabIndex="0" role="button" aria-pressed={chosen.value === s.id} aria-label={label} onClick={choose} onFocus={choose}
          onKeyDown={(e) => { if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); choose() } }}><title>{label}</title></rect>
      })}
      {gaps.map((g, i) => {
        const [start, end] = [g.startTime, g.endTime].map((at) => Math.min(1000, Math.max(0, ((Date.parse(at) - from) / wide) * 1000)))
        return end > start && <rect key={'gap' + i} class={'gap c-' + g.coverage.toLowerCase()} x={start} y="0" width={Math.max(2, end - start)} height={g.coverage === 'Unknown' ? 40 : 5}/>
      })}
    </svg>
  </div>
}

const evidences = {
  ObjectTime: 'a time that the object itself states', CreationTime: 'the object’s creation time', ManagedFields: 'the API server’s time of the write that made the change',
  Observed: 'when the watch delivered the change', ReplayBound: 'between two moments at which it was seen', MeteringStarted: 'metering started then: it may have been held before',
  LastKnown: 'from then on the object could not be read: it is taken to hold what it last held', MeteringStopped: 'metering stopped then: it may have been held on',
  Late: 'learnt after the interval was sealed: the segment is cut there', IntervalCut: 'an interval ends there, and the segment goes on',
}

/** Why explains a segment's figure as kubectl usage explain does. */
function Why({ segment: s, list }) {
  const meter = list.meters.find((m) => m.name === s.meter)
  const formula = meter?.dimensions.find((d) => d.dimension === s.dimension.split('/')[0])
  const end = (m, name) => <>
    <dt>{name}</dt>
    <dd>{m ? <><Moment at={m.time} /> <span class="unit">{utc(m.time)}</span> · {m.evidence}{evidences[m.evidence] ? ': ' + evidences[m.evidence] : ''}{m.earliest !== m.latest && <>; between <Moment at={m.earliest} /> and <Moment at={m.latest} /></>}</> : 'it goes on'}</dd>
  </>
  return <section class="why" aria-live="polite">
    <h3>Why {quantity(s.quantity)} {s.hourUnit}s?</h3>
    <dl>
      <dt>Figure</dt><dd>{s.level} {s.unit} for {duration(s.seconds)} ({s.seconds} s) in this window is {s.quantity} {unitWords(s.hourUnit)}</dd>
      {end(s.start, 'Start')}{end(s.end, 'End')}
      <dt>Under</dt><dd>{s.deployment || '(no deployment)'}{s.container && ' · container ' + s.container}{s.region && ' · region ' + s.region}{s.bundle && ' · ' + s.bundle}</dd>
      {s.correction && <><dt>Correction</dt><dd>{s.correction === 'less' ? 'Sealed hours have less by this.' : 'Sealed hours have more by this.'}</dd></>}
      <dt>Meter</dt><dd>{s.meter}{meter && <> reads {meter.target}</>}{formula && <pre>{formula.quantity}</pre>}</dd>
      {s.attributes && <><dt>Attributes</dt><dd>{Object.entries(s.attributes).map(([k, v]) => <span key={k} class="attribute">{k}={v}</span>)}</dd></>}
    </dl>
  </section>
}
