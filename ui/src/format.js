// Figures and times as people read them. Figures are whole numbers in exact units, of any
// size, so they are BigInt until they are text.

/** decimal is exact / scale with at most that many digits after the point. */
export function decimal(exact, scale, digits = 3) {
  let n = BigInt(exact)
  const s = BigInt(scale)
  const sign = n < 0n ? '-' : ''
  if (n < 0n) n = -n
  const power = 10n ** BigInt(digits)
  const rounded = (n * power * 2n + s) / (2n * s)
  if (rounded === 0n && n > 0n) return digits < 12 ? decimal(exact, scale, digits + 3) : sign + '0'
  const whole = grouped((rounded / power).toString())
  const fraction = (rounded % power).toString().padStart(digits, '0').replace(/0+$/, '')
  return sign + whole + (fraction ? '.' + fraction : '')
}

/** grouped has a narrow space between thousands. */
export const grouped = (digits) => digits.replace(/\B(?=(\d{3})+(?!\d))/g, '\u202f')

/** quantity is a decimal of the API, to be read. */
export function quantity(text, digits = 3) {
  const [whole, fraction = ''] = text.split('.')
  const cut = Number('0.' + (fraction || '0'))
  if (whole === '0' && cut > 0 && cut < 0.0005) return text
  const rounded = cut.toFixed(digits)
  const carried = rounded.startsWith('1') ? (BigInt(whole) + 1n).toString() : whole
  const rest = rounded.slice(2).replace(/0+$/, '')
  return grouped(carried) + (rest ? '.' + rest : '')
}

/** ratio is a / b as a number, for drawing. */
export function ratio(a, b) {
  const whole = BigInt(b)
  return whole === 0n ? 0 : Number((BigInt(a) * 1000000n) / whole) / 1000000
}

export const percent = (a, b) => (BigInt(b) === 0n ? '–' : (ratio(a, b) * 100).toFixed(1) + ' %')

/** marked is a figure with the mark of its accuracy. */
export const marked = (text, accuracy) => (accuracy === 'Estimated' ? '~' + text : accuracy === 'Partial' ? text + ' ?' : text)

export const localZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC'

const styles = {
  moment: { year: 'numeric', month: 'short', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' },
  dated: { year: 'numeric', month: 'short', day: '2-digit', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' },
  minute: { month: 'short', day: '2-digit', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' },
  day: { year: 'numeric', month: 'short', day: '2-digit', weekday: 'short' },
  month: { year: 'numeric', month: 'long' },
}

/** time is a moment in a zone. */
export function time(at, zone, style = 'moment') {
  return new Intl.DateTimeFormat('en-GB', { ...styles[style], timeZone: zone }).format(new Date(at))
}

/** windowName is a window by its size. */
export function windowName(at, zone, size) {
  return time(at, zone, size === 'hour' ? 'minute' : size === 'month' ? 'month' : 'day')
}

export const utc = (at) => new Date(at).toISOString().replace('.000Z', 'Z')

/** duration is seconds in the two largest units. */
export function duration(seconds) {
  const parts = []
  for (const [name, size] of [['d', 86400], ['h', 3600], ['min', 60], ['s', 1]]) {
    const n = Math.floor(seconds / size)
    if (n > 0 && parts.length < 2) parts.push(n + ' ' + name)
    if (n > 0) seconds -= n * size
    if (n === 0 && parts.length > 0) break
  }
  return parts.join(' ') || '0 s'
}

/** metricName is a metric in words. */
export const metricName = (m) => [m.resourceType, m.dimension].filter(Boolean).join('.')

const abbreviations = { vm: 'VM', ip: 'IP', vpc: 'VPC', gpu: 'GPU' }

/** unitWords is a unit as people say it, and as kubectl usage does: core-hours, VM-hours allocated. */
export function unitWords(unit) {
  const counted = /^([a-z_]+)-hour$/.exec(unit || '')
  if (!counted) return unit ? unit + 's' : ''
  const words = counted[1].split('_')
  const state = words.length > 1 && ['allocated', 'retained'].includes(words[words.length - 1]) ? ' ' + words.pop() : ''
  return words.map((word) => abbreviations[word] || word).join(' ') + '-hours' + state
}
