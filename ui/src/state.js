// What the page is about is in its address, after the #, so that every view can be sent:
// #/tenant/shop?last=7d&by=day&metric=vm.vcpu
import { signal, computed } from '@preact/signals'
import { localZone } from './format.js'

const parse = () => {
  const [path, query = ''] = (location.hash.slice(1) || '/overview').split('?')
  return { path: path.split('/').filter(Boolean).map(decode), query: new URLSearchParams(query) }
}

function decode(text) {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

export const route = signal(parse())
addEventListener('hashchange', () => { route.value = parse() })

/** href is the address of a view, with the window of this one and other parameters. */
export function href(path, more = {}) {
  const query = new URLSearchParams()
  for (const name of ['last', 'from', 'to', 'by', 'zone']) {
    if (route.value.query.has(name)) query.set(name, route.value.query.get(name))
  }
  for (const [name, value] of Object.entries(more)) {
    if (value === undefined || value === '') query.delete(name)
    else query.set(name, value)
  }
  const text = query.toString()
  return '#/' + path.map(encodeURIComponent).join('/') + (text ? '?' + text : '')
}

/** change changes parameters of this view. */
export function change(more) {
  const query = Object.fromEntries(route.value.query)
  location.hash = href(route.value.path, { ...query, ...more })
}

/** tick makes answers new: it counts up every half minute, while the page is seen. */
export const tick = signal(0)
setInterval(() => { if (!document.hidden) tick.value++ }, 30000)

export const zone = computed(() => (route.value.query.get('zone') === 'UTC' ? 'UTC' : localZone()))

const lengths = { h: 3600, d: 86400, w: 7 * 86400 }

/** ranges are the windows that can be chosen by name. */
export const ranges = [['24h', 'Last 24 hours'], ['7d', 'Last 7 days'], ['30d', 'Last 30 days'], ['month', 'This month'], ['lastmonth', 'Last month']]

/** began is when metering did, in seconds since the epoch; 0: it is not known. */
export const began = signal(0)

/**
 * frame is the window that is looked at, as the API's reports have it. One that is named by its
 * length begins when metering did, if that is later: since says so.
 */
export const frame = computed(() => {
  tick.value // a window up to now moves
  const q = route.value.query
  const body = { timeZone: zone.value }
  const last = q.get('last') || (q.get('from') ? '' : '24h')
  if (last === 'month' || last === 'lastmonth') {
    body.period = { unit: 'month', offset: last === 'month' ? 0 : -1 }
    return { body, last, seconds: 30 * 86400 }
  }
  const now = Math.floor(Date.now() / 1000)
  const named = /^(\d{1,4})([hdw])$/.exec(last)
  let start = Date.parse(q.get('from') || '') / 1000
  let end = q.get('to') ? Date.parse(q.get('to')) / 1000 : now
  if (named) [start, end] = [now - Number(named[1]) * lengths[named[2]], now]
  const since = named && began.value > start && began.value < end ? began.value : 0
  if (since) start = since
  if (!(start < end)) return { body, last, seconds: 0, wrong: 'The window in this address is not one: choose another.' }
  body.startingOn = new Date(start * 1000).toISOString().replace(/\.\d+Z/, 'Z')
  body.endingBefore = new Date(end * 1000).toISOString().replace(/\.\d+Z/, 'Z')
  return { body, last, seconds: end - start, since }
})

/** bounds is the window as GET takes it. Months are those of UTC. */
export function bounds() {
  const { body, last } = frame.value
  if (body.startingOn) return { from: body.startingOn, to: body.endingBefore }
  const now = new Date(Date.now())
  const first = (more) => new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + more, 1))
  const [from, to] = last === 'lastmonth' ? [first(-1), first(0)] : [first(0), now]
  return { from: from.toISOString().replace(/\.\d+Z/, 'Z'), to: to.toISOString().replace(/\.\d+Z/, 'Z') }
}

/** size is how long the windows of charts are. */
export const size = computed(() => {
  const asked = route.value.query.get('by')
  const seconds = frame.value.seconds
  if (['hour', 'day', 'week', 'month'].includes(asked) && !(asked === 'hour' && seconds > 90 * 86400)) return asked
  return seconds <= 2 * 86400 ? 'hour' : seconds <= 100 * 86400 ? 'day' : 'month'
})

/** theme is light, dark, or as the system has it. */
export const theme = signal('')
try {
  theme.value = localStorage.getItem('theme') || ''
} catch { /* it is not remembered */ }
theme.subscribe((name) => {
  if (name) document.documentElement.dataset.theme = name
  else delete document.documentElement.dataset.theme
  try {
    localStorage.setItem('theme', name)
  } catch { /* it is not remembered */ }
})
const system = matchMedia('(prefers-color-scheme: dark)')
const systemDark = signal(system.matches)
system.addEventListener('change', (e) => { systemDark.value = e.matches })
export const isDark = () => (theme.value ? theme.value === 'dark' : systemDark.value)
