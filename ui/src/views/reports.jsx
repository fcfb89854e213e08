// The reports and schedules that the cluster keeps, and what each says: its figures, or which of
// the other answers it is.
import { useSignal } from '@preact/signals'
import { useAnswer } from '../api.js'
import { metricName, quantity, unitWords } from '../format.js'
import { Answer, Moment, Table } from '../parts.jsx'
import { href } from '../state.js'

export function Reports({ namespace }) {
  const cursor = useSignal('')
  const query = new URLSearchParams({ ...(namespace ? { project_id: namespace } : {}), ...(cursor.value ? { cursor: cursor.value } : {}) })
  const answer = useAnswer('reports' + cursor.value, ['GET', 'v1alpha1/reports?' + query])
  return <>
    <nav class="crumbs" aria-label="Where this is"><a href={href(['overview'])}>Overview</a>{namespace && <> <a href={href(['tenant', namespace])}>{namespace}</a></>}</nav>
    <h1>Reports {namespace && <span class="unit">of {namespace}</span>}</h1>
    <Answer of={answer}>{(list) => <>
      <Hidden kinds={list.hidden} undecided={list.undecided} />
      <Made reports={list.reports.filter((r) => !isSchedule(r))} namespace={namespace} more={list.next || cursor.value} unlisted={[...(list.hidden || []), ...(list.undecided || [])]} />
      <Scheduled schedules={list.reports.filter(isSchedule)} />
      {(list.next || cursor.value) && <p class="buttons">
        {cursor.value && <button onClick={() => { cursor.value = '' }}>The first ones</button>}
        {list.next && <button onClick={() => { cursor.value = list.next }}>The next ones</button>}
      </p>}
    </>}</Answer>
  </>
}

const isSchedule = (r) => r.kind.endsWith('Schedule')

/** Hidden says which kinds are not visible, and of which that is not known: it was not asked in each namespace. */
function Hidden({ kinds, undecided }) {
  const named = (of) => of.map((k) => k + 's').join(', ')
  return <>
    {kinds && <p class="banner">Not visible to you: {named(kinds)}. Whether there are any, those see who may list them.</p>}
    {undecided && <p class="banner">Perhaps not visible to you: {named(undecided)}. You may list them in none of the namespaces that were asked about, which are not all: look at one tenant to ask about it.</p>}
  </>
}

function Made({ reports, namespace, more, unlisted }) {
  if (reports.length === 0) {
    if (more || unlisted.includes('UsageReport')) return null
    return <section class="state"><h2>There is no report</h2><p class="said">None is kept {namespace ? 'in ' + namespace : 'in what you may see'}. <a href={href(['export', ...(namespace ? [namespace] : [])])}>Export</a> has the YAML of one to commit.</p></section>
  }
  return <section class="card">
    <header class="bar"><h2>What they say</h2><span class="unit">as the operator keeps them</span></header>
    <Table stacked caption="Reports" head={[['Report'], ['Tenant'], ['Window'], ['State'], ['What it says'], ['Figures from']]}>
      {reports.map((r) => <tr key={r.kind + '/' + r.namespace + '/' + r.name} data-report={r.name}>
        <th scope="row"><Open report={r} /></th>
        <td data-label="Tenant">{r.namespace || <span class="unit">all of the cluster</span>}</td>
        <td data-label="Window"><Span window={r.window} size={r.windowSize} /></td>
        <td data-label="State"><State of={r} /></td>
        <td data-label="What it says"><Says report={r} /></td>
        <td data-label="Figures from">{r.changed ? <><Moment at={r.changed} style="dated" />{r.sealed && !r.complete && <div class="unit">sealed up to <Moment at={r.sealed} style="dated" /></div>}</> : '–'}</td>
      </tr>)}
    </Table>
    <p class="note">A report has all its rows: kubectl get usagereport NAME -n NAMESPACE -o yaml. Choose one to look at its time here.</p>
  </section>
}

/** Open leads to the window of a report, of the tenant that it is of. */
function Open({ report: r }) {
  if (!r.window) return r.name
  const view = r.namespace ? ['tenant', r.namespace] : ['overview']
  return <>
    <a href={href(view, { last: '', from: r.window.startTime, to: r.window.endTime })}>{r.name}</a>
    {r.schedule && <div class="unit">by the schedule {r.schedule}</div>}
  </>
}

function Span({ window: w, size }) {
  if (!w) return '–'
  return <><span class="whole"><Moment at={w.startTime} style="dated" /> –</span> <span class="whole"><Moment at={w.endTime} style="dated" /></span>{size && size !== 'none' && <div class="unit">by {size}</div>}</>
}

function State({ of: r }) {
  const name = r.phase === 'NotSeen' ? 'Not looked at yet' : r.phase !== 'Ready' ? r.phase : r.suspended ? 'Suspended' : r.complete ? 'Complete' : isSchedule(r) ? 'Ready' : 'Open'
  const odd = r.reason && !['Reported', 'Scheduled', 'Suspended'].includes(r.reason)
  return <><span class={'chip' + (r.phase === 'Stalled' || r.reason === 'NoSuchName' ? ' warn' : '')}>{name}</span>{odd && <div class="unit">{r.reason}</div>}</>
}

const without = {
  Zero: 'Nothing was used', PartlyUnknown: 'Nothing was used in the time that is known', Unknown: 'Unknown',
  NotBegun: 'It has not begun', None: 'No figures',
}

/** Says is the report's answer: figures, zero, unknown, no such name, or that there is none. */
function Says({ report: r }) {
  const figures = r.totals && <ul class="totals">{r.totals.map((t) => <li key={metricName(t) + t.unit}>
    {metricName(t)} <span class="figure" title={'exactly ' + t.exact + ' ' + t.exactUnit}>{quantity(t.quantity)}</span> <span class="unit">{unitWords(t.unit)}</span>
  </li>)}{r.moreTotals && <li class="unit">and others</li>}</ul>
  if (r.reason === 'NoSuchName') return <><strong>No such name</strong><p class="said">{r.message}</p>{figures}</>
  if (r.finding === 'Used') return <>{figures}{r.coverage && r.coverage !== '100' && <p class="said">{r.coverage} % of its time is known; the rest is in no figure.</p>}</>
  const text = r.finding === 'None' ? r.phase === 'NotSeen' ? 'If that stays so, no replica meters.' : r.message : r.finding === 'Zero' ? 'All of its time was seen.' : r.summary
  return <><strong class={r.finding === 'Unknown' ? 'unknown' : ''}>{without[r.finding] || r.finding}</strong>{text && <p class="said">{text}</p>}</>
}

function Scheduled({ schedules }) {
  if (schedules.length === 0) return null
  return <section class="card">
    <header class="bar"><h2>Schedules</h2><span class="unit">a report for each period that is over</span></header>
    <Table stacked caption="Schedules" head={[['Schedule'], ['Tenant'], ['Every'], ['State'], ['Last period'], ['Last report'], ['Next']]}>
      {schedules.map((s) => <tr key={s.kind + '/' + s.namespace + '/' + s.name} data-report={s.name}>
        <th scope="row">{s.name}</th>
        <td data-label="Tenant">{s.namespace || <span class="unit">all of the cluster</span>}</td>
        <td data-label="Every"><code>{s.every}</code></td>
        <td data-label="State"><State of={s} />{s.phase === 'Stalled' && <p class="said">{s.message}</p>}</td>
        <td data-label="Last period"><Span window={s.window} /></td>
        <td data-label="Last report">{s.lastReport || '–'}</td>
        <td data-label="Next">{s.next ? <Moment at={s.next} style="dated" /> : '–'}</td>
      </tr>)}
    </Table>
  </section>
}
