// Usage of a scope: totals to choose a metric from, its chart by the chosen group, and a table.
import { useAnswer } from './api.js'
import { Chart } from './chart.jsx'
import { decimal, metricName, percent, unitWords, marked } from './format.js'
import { Answer, Choice, Coverage, Figure, Moment, Name, Nothing, Table } from './parts.jsx'
import { change, frame, href, route, size } from './state.js'

const preferred = ['vm.vcpu', 'container.cpu']

/** chosen is the metric of the address, or the one that most look for. */
function chosen(totals) {
  const names = totals.map(metricName)
  const asked = route.value.query.get('metric')
  if (names.includes(asked)) return asked
  return preferred.find((name) => names.includes(name)) || names[0]
}

/**
 * Usage shows what a scope used. Groups are [key, words] pairs that it may be stacked by; the
 * first is the default.
 */
export function Usage({ filters, groups, caption }) {
  const { body, wrong } = frame.value
  const report = useAnswer('report' + JSON.stringify(filters) + frame.value.last, !wrong && ['POST', 'v1alpha1/report?top=1', { ...body, windowSize: 'none', groupBy: ['resourceType'], filters }])
  if (wrong) return <section class="state" role="alert"><h2>It cannot be asked so</h2><p class="said">{wrong}</p></section>
  return <Answer of={report}>{(answer) => {
    const totals = answer.totals || []
    if (totals.length === 0) return <Nothing report={answer} />
    const metric = chosen(totals)
    const asked = totals.find((t) => metricName(t) === metric)
    return <>
      <Known report={answer} />
      <Totals totals={totals} metric={metric} />
      <Metric filters={filters} groups={groups} metric={asked} caption={caption} />
    </>
  }}</Answer>
}

/** Known says how much of the window is known, if that is not all, and whether it is final. */
function Known({ report }) {
  const coverage = report.coverage
  const since = frame.value.since
  const whence = since > 0 && <> Metering began at <Moment at={since * 1000} />: the figures are from then on.</>
  if (!coverage || coverage.percent === '100') return whence ? <p class="banner">{whence}</p> : null
  return <p class="banner">Of this time {coverage.percent} % is known. What was used in the rest is unknown, and in no figure.
    {whence || (report.meteringBegan && <> Metering began at <Moment at={report.meteringBegan} />.</>)}</p>
}

function Totals({ totals, metric }) {
  return <div class="metrics" role="group" aria-label="Metric">
    {totals.map((t) => <button key={metricName(t) + t.unit} class="metric" aria-pressed={metricName(t) === metric} onClick={() => change({ metric: metricName(t) })}>
      <span class="name"><Name text={metricName(t)} /></span>
      <Figure figure={t} unit={unitWords(t.unit)} />
    </button>)}
  </div>
}

const keysOf = (group) => (group === 'resourceType' ? ['resourceType'] : group === 'namespace' ? ['namespace', 'resourceType'] : ['namespace', group, 'resourceType'])

function Metric({ filters, groups, metric, caption }) {
  const group = groups.find(([key]) => key === route.value.query.get('group'))?.[0] || groups[0][0]
  const question = {
    ...frame.value.body, windowSize: size.value, groupBy: keysOf(group),
    filters: { ...filters, resourceTypes: [metric.resourceType], dimensions: [metric.dimension] },
  }
  const series = useAnswer(JSON.stringify([filters, metric.resourceType, metric.dimension, group, size.value, frame.value.last]), ['POST', 'v1alpha1/series?top=8', question])
  return <section class="card">
    <header class="bar">
      <h2>{metricName(metric)} <span class="unit">{unitWords(metric.unit)} by {size.value}</span></h2>
      {groups.length > 1 && <Choice label="Stacked by" of={groups} value={group} onChoose={(key) => change({ group: key })} />}
    </header>
    <Answer of={series}>{(answer) => {
      const total = answer.totals[0]
      if (!total) return <><p class="said">There is no figure of this metric in this time.</p><Coverage windows={answer.windows} size={size.value} /></>
      const others = answer.others[0]
      return <>
        <Chart series={answer} lines={answer.series} others={others} total={total} size={size.value} name={(l) => nameOf(l, group)} link={(l) => linkOf(l, group)} />
        <Ranking lines={answer.series} others={others} total={total} group={group} caption={caption} filters={filters} />
      </>
    }}</Answer>
  </section>
}

/** nameOf is what a line is called: a tenant's words, shown as text. */
export function nameOf(line, group) {
  const name = line.group?.[group]
  if (name) return name
  return group === 'deployment' ? '(no deployment)' : group === 'namespace' ? '(no namespace)' : '(unnamed)'
}

function linkOf(line, group) {
  const g = line.group || {}
  const metric = line.resourceType + '.' + line.dimension
  if (group === 'namespace' && g.namespace) return href(['tenant', g.namespace], { metric })
  if (group === 'deployment' && g.namespace && g.deployment) return href(['deployment', g.namespace, g.deployment], { metric })
  if (group === 'resource' && g.resourceUID) return href(['resource', g.resourceUID])
  return null
}

function Ranking({ lines, others, total, group, caption, filters }) {
  const several = !filters.namespaces && group !== 'namespace' && group !== 'resourceType'
  const head = [[group === 'namespace' ? 'Tenant' : group === 'resourceType' ? 'Type' : group === 'deployment' ? 'Deployment' : 'Resource'], ...(several ? [['Tenant']] : []), ['Usage', true], ['Unit', false, 'roomy'], ['Share', true]]
  const row = (line, key, name) => <tr key={key}>
    <th scope="row">{name}</th>
    {several && <td>{line.group?.namespace}</td>}
    <td class="right"><span class="figure" title={line.total && 'exactly ' + line.total.exact + ' ' + line.exactUnit}>{line.total ? marked(decimal(line.total.exact, line.scale), line.accuracy) : <span class="unknown">unknown</span>}</span></td>
    <td class="whole roomy">{unitWords(line.unit)}</td>
    <td class="right">{line.total && total.total ? percent(line.total.exact, total.total.exact) : '–'}</td>
  </tr>
  const partial = [...lines, total].some((l) => l.accuracy === 'Partial')
  const estimated = [...lines, total].some((l) => l.accuracy === 'Estimated')
  return <>
    <Table caption={caption} head={head}>
      {lines.map((line, i) => {
        const link = linkOf(line, group)
        return row(line, i, link ? <a href={link}>{nameOf(line, group)}</a> : nameOf(line, group))
      })}
      {others && row(others, 'others', others.count + ' others')}
      {row(total, 'total', 'Total')}
    </Table>
    {(partial || estimated) && <p class="note">{partial && '? partial: a part of the time was not seen. '}{estimated && '~ estimated: a moment is known only within bounds.'}</p>}
  </>
}
