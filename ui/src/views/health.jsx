import { useAnswer } from '../api.js'
import { duration } from '../format.js'
import { Answer, Moment, Table } from '../parts.jsx'
import { frame } from '../state.js'

const remedies = {
  Quarantined: 'Objects are there that the meter’s expressions cannot read. kubectl describe usagemeter NAME lists some; correct the meter, or the objects.',
  NotSeen: 'No replica has looked at it yet. If that stays so, no replica meters: kubectl usage status.',
  InvalidExpression: 'Its expressions do not compile. kubectl describe usagemeter NAME says where.',
  AccessDenied: 'The operator may not list or watch what it meters. Grant it that.',
  WatchFailed: 'What it meters cannot be watched. The message says why; the operator tries again.',
  JournalUnavailable: 'The journal cannot be written or read: see the message, and usage-operator verify.',
  ClockBehind: 'The clock of the operator’s node is behind. Set it right.',
}

/** together are gaps of several meters at the same time as one. */
function together(gaps) {
  const found = new Map()
  for (const g of gaps) {
    const key = [g.coverage, g.startTime, g.endTime].join()
    if (!found.has(key)) found.set(key, { ...g, meters: [] })
    if (g.meter) found.get(key).meters.push(g.meter)
  }
  return [...found.values()]
}

export function Health() {
  const status = useAnswer('status', ['GET', 'v1alpha1/status'])
  const report = useAnswer('gaps' + frame.value.last, !frame.value.wrong && ['POST', 'v1alpha1/report?top=1', { ...frame.value.body, windowSize: 'none' }])
  return <>
    <h1>Health</h1>
    <Answer of={status}>{(s) => <Status of={s} />}</Answer>
    <section class="card">
      <header class="bar"><h2>Gaps of coverage</h2><span class="unit">in the chosen window</span></header>
      <Answer of={report}>{(r) => {
        const gaps = r.coverage?.gaps || []
        if (gaps.length === 0) return <p>{r.coverage ? 'There is none: every meter saw all of this time.' : 'No time has passed in this window.'}</p>
        return <>
          <Table stacked caption="Gaps of coverage" head={[['Meters'], ['Coverage'], ['From'], ['To'], ['Lasted', true]]}>
            {together(gaps).map((g, i) => <tr key={i}>
              <th scope="row">{g.meters.join(', ') || '(none metered)'}</th><td data-label="Coverage">{g.coverage}</td><td data-label="From"><Moment at={g.startTime} /></td><td data-label="To"><Moment at={g.endTime} /></td>
              <td class="right" data-label="Lasted">{duration((Date.parse(g.endTime) - Date.parse(g.startTime)) / 1000)}</td>
            </tr>)}
          </Table>
          {gaps.length === 20 && <p class="note">Only the first 20 are listed: choose a shorter window for others.</p>}
        </>
      }}</Answer>
    </section>
  </>
}

function Status({ of: s }) {
  const lag = s.sealed ? (Date.parse(s.now) - Date.parse(s.sealed)) / 1000 : null
  const late = lag === null || lag > 2 * (s.intervalSeconds || 3600) + 300
  const behind = s.known ? (Date.parse(s.now) - Date.parse(s.known)) / 1000 : null
  return <>
    {late && <p class="banner warn" role="alert">{lag === null ? 'No interval is sealed yet: no figure is final.' : 'No interval was sealed for ' + duration(lag) + '; they last ' + duration(s.intervalSeconds || 3600) + '.'} What meters, and whether the journal is damaged, kubectl usage status says, and the operator’s log.</p>}
    {s.meters === 0 && <p class="banner warn" role="alert">There is no UsageMeter: nothing is metered.</p>}
    <div class="metrics">
      <Tile name="Figures up to" value={s.known ? duration(Math.max(0, behind)) + ' ago' : 'unknown'}><Moment at={s.known} /></Tile>
      <Tile name="Seal lag" value={lag === null ? 'unknown' : duration(lag)}><Moment at={s.sealed} /></Tile>
      <Tile name="Metering began" value={s.meteringBegan ? duration((Date.parse(s.now) - Date.parse(s.meteringBegan)) / 1000) + ' ago' : 'unknown'}><Moment at={s.meteringBegan} /></Tile>
      <Tile name="Meters" value={s.meters}>{s.attention.length === 0 ? 'all are well' : s.attention.length + (s.attention.length === 1 ? ' needs attention' : ' need attention')}</Tile>
    </div>
    <section class="card">
      <header class="bar"><h2>Meters that need attention</h2></header>
      {s.attention.length === 0 ? <p>There is none.</p> : <Table stacked caption="Meters that need attention" head={[['Meter'], ['Reason'], ['Quarantined', true], ['What it says'], ['What to do']]}>
        {s.attention.map((m) => <tr key={m.name}>
          <th scope="row">{m.name}</th><td data-label="Reason">{m.reason}</td><td class="right" data-label="Quarantined">{m.quarantined || 0}</td><td data-label="What it says">{m.message || '–'}</td>
          <td data-label="What to do">{(remedies[m.reason] || 'kubectl describe usagemeter NAME says more.').replace('NAME', m.name)}</td>
        </tr>)}
      </Table>}
    </section>
  </>
}

const Tile = ({ name, value, children }) => <div class="metric"><span class="name">{name}</span><span class="figure">{value}</span><span class="unit">{children}</span></div>
