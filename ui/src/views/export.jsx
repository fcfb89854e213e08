// What a view shows, for programs: as CSV and JSON, or as the commands that give it.
import { useSignal } from '@preact/signals'
import { useAnswer } from '../api.js'
import { Answer, Refused } from '../parts.jsx'
import { frame, route, size } from '../state.js'

const quoted = (text) => "'" + text.replaceAll("'", "'\\''") + "'"

/** inert is a cell that no spreadsheet takes for a formula. */
export function inert(cell) {
  const text = /^[=+\-@\t\r]/.test(cell) && !/^-?\d+(\.\d+)?$/.test(cell) ? "'" + cell : cell
  return /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text
}

function subject() {
  const [, namespace, deployment] = route.value.path
  const filters = {}
  if (namespace) filters.namespaces = [namespace]
  if (deployment !== undefined) filters.deployments = [deployment]
  return { namespace, deployment, filters }
}

export function Export() {
  const { namespace, deployment, filters } = subject()
  const { body, last, wrong } = frame.value
  const by = size.value
  const spec = { ...body, windowSize: by, groupBy: ['namespace', 'deployment', 'resourceType'], filters }
  const [metric] = [route.value.query.get('metric')]
  const narrowed = metric ? { ...spec, filters: { ...filters, resourceTypes: [metric.split('.')[0]], dimensions: [metric.slice(metric.indexOf('.') + 1)] } } : spec
  const first = useAnswer('export' + JSON.stringify([filters, metric, last, by]), !wrong && ['POST', 'v1alpha1/series?top=50', narrowed])
  const when = { month: '--this-month', lastmonth: '--last-month' }[last] || (last ? '--last ' + last : '--from ' + body.startingOn + ' --to ' + body.endingBefore)
  const who = (namespace ? '-n ' + quoted(namespace) : '-A') + (deployment ? ' --deployment ' + quoted(deployment) : '') + (metric ? ' --type ' + quoted(metric.split('.')[0]) + ' --dimension ' + quoted(metric.slice(metric.indexOf('.') + 1)) : '')
  const name = (deployment || namespace || 'cluster') + '-' + by
  return <>
    <h1>Export <span class="unit">{[namespace, deployment, metric].filter(Boolean).join(' / ') || 'all that you may see'}</span></h1>
    {wrong && <Refused error={{ status: 400, message: wrong }} />}
    <section class="card">
      <header class="bar"><h2>What is seen</h2><span class="unit">exact figures, window by window, the 50 largest of each metric and the others</span></header>
      <Answer of={first}>{(answer) => <p class="buttons">
        <Download name={name + '.csv'} type="text/csv" text={() => csv(answer, namespace, deployment)} label="Download CSV" />
        <Download name={name + '.json'} type="application/json" text={() => JSON.stringify(answer, null, 1)} label="Download JSON" />
      </p>}</Answer>
    </section>
    <section class="card">
      <header class="bar"><h2>In a terminal</h2><span class="unit">all rows, however many</span></header>
      <Command label="CSV" text={`kubectl usage list ${who} ${when} --by ${by} -o csv > usage.csv`} />
      <Command label="Parquet" text={`kubectl usage list ${who} ${when} --by ${by} -o parquet > usage.parquet`} />
      <Command label="FOCUS" text={`kubectl usage list ${who} ${when} --by ${by} -o focus-csv > focus.csv`} />
      <Command label="curl" text={`curl --cacert ca.crt https://usage-api.usage-system.svc/v1alpha1/report \\\n  -H "Authorization: Bearer $TOKEN" \\\n  --data ${quoted(JSON.stringify(narrowed))}`} />
    </section>
    <section class="card">
      <header class="bar"><h2>As a report</h2><span class="unit">commit this, and the operator keeps it</span></header>
      <Command label="YAML" text={yaml(namespace, deployment, narrowed)} />
    </section>
  </>
}

function csv(answer, namespace, deployment) {
  const rows = [['start_time', 'end_time', 'namespace', 'deployment', 'resource_type', 'dimension', 'exact', 'exact_unit', 'accuracy']]
  const add = (line, ofNamespace, ofDeployment) => answer.windows.forEach((w, i) => rows.push([w.startTime, w.endTime, ofNamespace, ofDeployment, line.resourceType || '', line.dimension, line.exact[i] ?? 'unknown', line.exactUnit, line.accuracy]))
  for (const line of answer.series) add(line, line.group.namespace || '', line.group.deployment || '')
  for (const line of answer.others) add(line, '(' + line.count + ' others)', '')
  if (rows.length === 1) { // no row is zero, where all is known
    for (const w of answer.windows) if (w.unknownSeconds > 0) rows.push([w.startTime, w.endTime, namespace || '', deployment || '', '', '', 'unknown', '', 'Partial'])
  }
  return rows.map((row) => row.map((cell) => inert(String(cell))).join(',')).join('\n') + '\n'
}

/** yaml is a report's; JSON strings are YAML strings, so that no name breaks out of one. */
function yaml(namespace, deployment, spec) {
  const list = (values) => '[' + values.map((v) => JSON.stringify(v)).join(', ') + ']'
  const f = spec.filters
  const lines = ['apiVersion: metering.usage-operator.dev/v1alpha1', 'kind: ' + (namespace ? 'UsageReport' : 'ClusterUsageReport'), 'metadata:', '  name: usage-by-' + spec.windowSize]
  if (namespace) lines.push('  namespace: ' + JSON.stringify(namespace))
  lines.push('spec:')
  if (spec.period) lines.push('  period: {unit: month, offset: ' + spec.period.offset + '}')
  else lines.push('  startingOn: ' + JSON.stringify(spec.startingOn), '  endingBefore: ' + JSON.stringify(spec.endingBefore))
  lines.push('  timeZone: ' + JSON.stringify(spec.timeZone), '  windowSize: ' + spec.windowSize, '  groupBy: ' + list(namespace ? ['deployment', 'resourceType'] : spec.groupBy))
  if (f.deployments || f.resourceTypes) lines.push('  filters:')
  if (f.deployments) lines.push('    deployments: ' + list(f.deployments))
  if (f.resourceTypes) lines.push('    resourceTypes: ' + list(f.resourceTypes), '    dimensions: ' + list(f.dimensions))
  return lines.join('\n') + '\n'
}

function Download({ name, type, text, label }) {
  return <button onClick={() => {
    const url = URL.createObjectURL(new Blob([text()], { type }))
    const link = document.createElement('a')
    link.href = url
    link.download = name.replace(/[^\w.-]/g, '_')
    link.click()
    setTimeout(() => URL.revokeObjectURL(url), 1000)
  }}>{label}</button>
}

function Command({ label, text }) {
  const copied = useSignal(false)
  return <div class="command">
    <h3>{label}</h3>
    <pre tabIndex="0">{text}</pre>
    <button onClick={() => navigator.clipboard?.writeText(text).then(() => { copied.value = true })}>{copied.value ? 'Copied' : 'Copy'}</button>
  </div>
}
