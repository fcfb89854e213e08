// Parts that several views have: states of answers, figures, coverage, tables.
import { percent, quantity, marked, time, utc, windowName, duration } from './format.js'
import { zone, tick } from './state.js'

/** Answer shows what an answer is, or why there is none. */
export function Answer({ of, children, what }) {
  if (of.error && !of.answer) return <Refused error={of.error} what={what} />
  if (!of.answer) return <div class="skeleton" role="status"><span class="sr">Loading</span></div>
  return <>
    {of.error && <p class="banner warn" role="alert">This is the last answer: asking again failed. {of.error.message}</p>}
    {children(of.answer)}
  </>
}

const titles = { 403: 'Not visible to you', 404: 'No such name', 429: 'Too many requests', 503: 'Not available yet', 504: 'It took too long' }

/** Refused says why there is no answer, in the API's own words. */
export function Refused({ error, what }) {
  const title = error.code === 'no_such_name' ? titles[404] : titles[error.status] || (error.status === 400 ? 'It cannot be asked so' : 'It failed')
  const again = error.status === 0 || error.status >= 429
  return <section class="state" role="alert">
    <h2>{title}</h2>
    {what && <p>{what}</p>}
    <p class="said">{error.message}</p>
    {again && <button onClick={() => { tick.value++ }}>Ask again</button>}
  </section>
}

/** Nothing says that there are no figures, and whether that means zero or unknown. */
export function Nothing({ report }) {
  const coverage = report.coverage
  const known = coverage && coverage.percent !== '0'
  const zero = coverage && coverage.percent === '100'
  const title = zero ? 'Nothing was used' : known ? 'Nothing was used in the time that is known' : coverage ? 'Unknown' : 'It has not begun'
  return <section class="state">
    <h2>{title}</h2>
    <p class="said">{zero ? 'All of this time was observed.' : report.summary}</p>
    {coverage && !zero && report.meteringBegan && <p>In your time zone that is <Moment at={report.meteringBegan} />. What was used before is unknown, not zero.</p>}
  </section>
}

/** Moment is in the viewer's zone, with UTC beside. */
export function Moment({ at, style }) {
  if (!at) return <span>–</span>
  return <time dateTime={utc(at)} title={utc(at)}>{time(at, zone.value, style)}</time>
}

/** Name may be divided where it has a mark, and not within a word. */
export const Name = ({ text }) => text.split(/(?<=[./_])/).map((part, i) => <>{i > 0 && <wbr />}{part}</>)

/** Figure is a quantity with its accuracy. */
export function Figure({ figure, accuracy, unit }) {
  if (!figure) return <span class="unknown">unknown</span>
  return <span class="figure" title={figure.exact && 'exactly ' + figure.exact}>{marked(quantity(figure.quantity), accuracy)}{unit && <span class="unit"> {unit}</span>}</span>
}

const kinds = [['observed', 'observed'], ['replayed', 'replayed'], ['estimated', 'estimated'], ['unknown', 'unknown']]

/** Coverage is a strip of how each window is known. */
export function Coverage({ windows, size }) {
  const sums = kinds.map(([kind]) => windows.reduce((sum, w) => sum + w[kind + 'Seconds'], 0))
  const whole = sums.reduce((a, b) => a + b, 0)
  const said = kinds.map(([, name], i) => sums[i] > 0 && name + ' ' + share(sums[i], whole)).filter(Boolean).join(', ')
  const from = windows.length && Date.parse(windows[0].startTime)
  const wide = windows.length && Date.parse(windows[windows.length - 1].endTime) - from
  return <figure class="coverage">
    <figcaption><strong>Coverage</strong> {said || 'no time has passed'}</figcaption>
    <svg viewBox="0 0 1000 16" preserveAspectRatio="none" role="img" aria-label={'How the time is known: ' + said}>
      {windows.map((w) => {
        const long = (Date.parse(w.endTime) - Date.parse(w.startTime)) / 1000
        const x = ((Date.parse(w.startTime) - from) / wide) * 1000
        let y = 16 // when in a window it was is not said: it is stacked, what is unknown on top
        return kinds.map(([kind]) => {
          const high = (w[kind + 'Seconds'] / long) * 16
          y -= high
          return high > 0 && <rect key={kind + w.startTime} class={'c-' + kind} x={x} y={y} width={(long * 1000 / wide) * 1000} height={high}><title>{windowName(w.startTime, zone.value, size) + ': ' + kind + ' ' + duration(w[kind + 'Seconds'])}</title></rect>
        })
      })}
    </svg>
    <ul class="legend">{kinds.map(([kind, name], i) => <li key={kind}><i class={'swatch c-' + kind} /> {name}{sums[i] > 0 ? ' ' + duration(sums[i]) : ''}</li>)}</ul>
  </figure>
}

const share = (part, whole) => (part === whole ? '100 %' : percent(part, whole))

/** Choice is a row of links, one of which is the one that is shown. */
export function Choice({ label, of, value, onChoose }) {
  return <div class="choice" role="group" aria-label={label}>
    {of.map(([name, text]) => <button key={name} aria-pressed={name === value} onClick={() => onChoose(name)}>{text}</button>)}
  </div>
}

/** Table scrolls by itself where it is wider than the page; or, stacked, has its cells below each other there. */
export function Table({ caption, head, children, stacked }) {
  return <div class="scroll" tabIndex="0" role="region" aria-label={caption}>
    <table class={stacked ? 'stacked' : ''}>
      <caption class="sr">{caption}</caption>
      <thead><tr>{head.map(([name, right, more = '']) => <th key={name} scope="col" class={right ? 'right' : more}>{name}</th>)}</tr></thead>
      <tbody>{children}</tbody>
    </table>
  </div>
}
