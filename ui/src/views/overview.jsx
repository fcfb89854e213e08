import { useAnswer } from '../api.js'
import { percent, quantity, marked, ratio, unitWords, duration } from '../format.js'
import { Answer, Table } from '../parts.jsx'
import { bounds, frame } from '../state.js'
import { Usage } from '../usage.jsx'

export function Overview() {
  return <>
    <h1>Overview</h1>
    <Capacity />
    <Usage filters={{}} caption="The largest tenants" groups={[['namespace', 'Tenant'], ['deployment', 'Deployment'], ['resourceType', 'Type']]} />
  </>
}

function Capacity() {
  const wrong = frame.value.wrong
  const capacity = useAnswer('capacity' + frame.value.last + (frame.value.last ? '' : frame.value.body.startingOn), !wrong && ['GET', 'v1alpha1/capacity?' + new URLSearchParams(bounds())])
  if (wrong) return null
  if (capacity.error?.status === 403 && !capacity.answer) {
    return <p class="banner">The cluster’s capacity is shown to those who may see all namespaces. Below is what you may see.</p>
  }
  return <section class="card">
    <header class="bar"><h2>Capacity</h2>{!frame.value.body.startingOn && <span class="unit">months of UTC</span>}</header>
    <Answer of={capacity}>{(answer) => <>
      <div class="capacity">{answer.dimensions.map((d) => <Dimension key={d.dimension} of={d} />)}</div>
      <details>
        <summary>What is compared with what, exactly</summary>
        <Table caption="Capacity by dimension" head={[['Dimension'], ['Capacity', true], ['Attributed', true], ['Unattributed', true], ['Idle', true], ['Beyond', true], ['Unit'], ['Compared'], ['Unknown']]}>
          {answer.dimensions.map((d) => <tr key={d.dimension}>
            <th scope="row">{d.dimension}</th>
            {['capacity', 'attributed', 'unattributed', 'idle', 'beyond'].map((part) => <td key={part} class="right" data-part={part}>{d.total[part] ? d.total[part].exact : <span class="unknown">unknown</span>}</td>)}
            <td>{d.exactUnit}s</td><td>{duration(d.total.comparedSeconds)}</td><td>{duration(d.total.unknownSeconds)}</td>
          </tr>)}
        </Table>
        <ul class="note">
          {answer.dimensions.map((d) => <li key={d.dimension}>{d.dimension}: of {d.capacityMetrics.join(', ')}, what is held by {d.heldMetrics.join(', ')}.</li>)}
          <li>Attributed + unattributed + idle = capacity + beyond. Beyond is what is held above the capacity of an hour, as by guests with more CPUs than their node.</li>
          <li>Idle includes what nodes keep for themselves. The pod that runs a virtual machine is not counted beside the machine. A pod that waits for a node holds nothing.</li>
        </ul>
      </details>
    </>}</Answer>
  </section>
}

const parts = [['attributed', 'attributed'], ['unattributed', 'unattributed'], ['idle', 'idle']]

function Dimension({ of: d }) {
  const t = d.total
  if (!t.capacity) {
    return <div class="dimension"><h3>{d.dimension}</h3><p class="unknown">Unknown: in this time it is not known both what nodes had and what was held.</p></div>
  }
  const none = t.capacity.exact === '0' && t.beyond.exact === '0'
  const whole = (BigInt(t.capacity.exact) + BigInt(t.beyond.exact)).toString()
  const widths = parts.map(([part]) => ratio(t[part].exact, whole) * 1000)
  let x = 0
  return <div class="dimension">
    <h3>{d.dimension} <span class="figure">{marked(quantity(t.capacity.quantity), t.accuracy)}</span> <span class="unit">{unitWords(d.unit)} of capacity</span></h3>
    {none ? <p class="note">No node has any, and none is held.</p> : <>
      <svg class="stack" viewBox="0 0 1000 22" preserveAspectRatio="none" role="img" aria-label={parts.map(([part, name]) => name + ' ' + percent(t[part].exact, whole)).join(', ')}>
        {parts.map(([part], i) => {
          const at = x
          x += widths[i]
          return <rect key={part} class={'p-' + part} x={at} y="0" width={widths[i]} height="22" />
        })}
        {t.beyond.exact !== '0' && <line class="p-limit" x1={ratio(t.capacity.exact, whole) * 1000} x2={ratio(t.capacity.exact, whole) * 1000} y1="0" y2="22" />}
      </svg>
      <ul class="legend">
        {parts.map(([part, name]) => <li key={part}><i class={'swatch p-' + part} /> {name} <span class="figure">{quantity(t[part].quantity)}</span> ({percent(t[part].exact, whole)})</li>)}
        {t.beyond.exact !== '0' && <li>of which <span class="figure">{quantity(t.beyond.quantity)}</span> beyond the capacity</li>}
      </ul>
    </>}
    {t.unknownSeconds > 0 && <p class="note">{duration(t.comparedSeconds)} are compared; {duration(t.unknownSeconds)} are unknown.</p>}
  </div>
}

