import { render } from 'preact'
import { useEffect } from 'preact/hooks'
import { useSignal } from '@preact/signals'
import { logIn, logOut, session, whoAsks } from './api.js'
import { localZone } from './format.js'
import { Choice } from './parts.jsx'
import { change, frame, href, ranges, route, size, theme, tick, zone } from './state.js'
import { Deployment, Tenant } from './views/scope.jsx'
import { Export } from './views/export.jsx'
import { Health } from './views/health.jsx'
import { Overview } from './views/overview.jsx'
import { Reports } from './views/reports.jsx'
import { Resource } from './views/resource.jsx'

function App() {
  useEffect(() => { whoAsks() }, [])
  const who = session.value
  return <>
    <a class="skip" href="#main" onClick={(e) => { e.preventDefault(); document.getElementById('main').focus() }}>To the content</a>
    <Header who={who} />
    <main id="main" tabIndex="-1">
      {who === undefined ? <div class="skeleton" role="status"><span class="sr">Loading</span></div>
        : who === null ? <Login />
          : who.failed ? <section class="state" role="alert"><h1>The usage API does not answer as it should</h1><p class="said">{who.failed.message}</p><button onClick={whoAsks}>Ask again</button></section>
            : <><Window /><View /></>}
    </main>
    <footer>
      <span>Figures are the ledger’s own, and exact: <a href="../openapi.json">the API</a> has the same. No figure is drawn as zero that is unknown.</span>
      <a href="licenses.txt">Licences</a>
    </footer>
  </>
}

function Header({ who }) {
  const view = route.value.path[0]
  const scope = view === 'tenant' || view === 'deployment' ? route.value.path.slice(1) : []
  const metric = route.value.query.get('metric') || undefined
  const links = [['overview', 'Overview', href(['overview'])], ['reports', 'Reports', href(['reports', ...scope.slice(0, 1)])], ['health', 'Health', href(['health'])], ['export', 'Export', href(['export', ...scope], { metric })]]
  return <header class="top">
    <a class="brand" href={href(['overview'])}><svg viewBox="0 0 24 24" aria-hidden="true"><rect x="3" y="12" width="4" height="9" rx="1" /><rect x="10" y="7" width="4" height="14" rx="1" /><rect x="17" y="3" width="4" height="18" rx="1" /></svg> Usage</a>
    {who && !who.failed && <nav aria-label="Views">{links.map(([name, text, to]) => <a key={name} href={to} aria-current={view === name ? 'page' : undefined}>{text}</a>)}</nav>}
    <div class="who">
      {who && !who.failed && <span class="user" title={who.user}>{who.user}</span>}
      <Theme />
      {who && who.loggedIn && <button onClick={logOut}>Log out</button>}
    </div>
  </header>
}

function Theme() {
  const next = { '': 'light', light: 'dark', dark: '' }[theme.value]
  return <button aria-label={'Theme: ' + (theme.value || 'as the system has it')} title="Light, dark, or as the system has it" onClick={() => { theme.value = next }}>{{ '': '◐', light: '☀', dark: '☾' }[theme.value]}</button>
}

function Window() {
  const { body, last } = frame.value
  const own = useSignal(false)
  if (route.value.path[0] === 'nothing') return null
  const set = (e) => {
    e.preventDefault()
    const form = new FormData(e.target)
    const at = (name) => { const t = new Date(form.get(name)); return isNaN(t) ? '' : t.toISOString().replace(/\.\d+Z/, 'Z') }
    change({ last: '', from: at('from'), to: at('to') })
    own.value = false
  }
  const timeless = route.value.path[0] === 'reports' // each has a window of its own
  const input = (text) => { const d = new Date(text); return isNaN(d) ? '' : new Date(d - d.getTimezoneOffset() * 60000).toISOString().slice(0, 16) }
  return <section class="window" aria-label="Window">
    {!timeless && <><label>Time <select value={last || 'own'} onChange={(e) => { if (e.target.value === 'own') own.value = true; else change({ last: e.target.value, from: '', to: '' }) }}>
      {ranges.map(([name, text]) => <option key={name} value={name}>{text}</option>)}
      {!ranges.some(([name]) => name === last) && last && <option value={last}>Last {last}</option>}
      <option value="own">From … to …</option>
    </select></label>
    <label>By <select value={size.value} onChange={(e) => change({ by: e.target.value })}>
      {['hour', 'day', 'week', 'month'].map((name) => <option key={name} value={name}>{name}</option>)}
    </select></label></>}
    {localZone() !== 'UTC' ? <Choice label="Time zone" of={[['', localZone()], ['UTC', 'UTC']]} value={zone.value === 'UTC' ? 'UTC' : ''} onChoose={(z) => change({ zone: z })} /> : <span class="unit">UTC</span>}
    <button onClick={() => { tick.value++ }}>Refresh</button>
    {!timeless && (own.value || !last) && <form onSubmit={set}>
      <label>From <input type="datetime-local" name="from" required value={input(body.startingOn)} /></label>
      <label>To <input type="datetime-local" name="to" value={input(body.endingBefore)} /></label>
      <button>Show</button>
    </form>}
  </section>
}

function View() {
  const [view, ...names] = route.value.path
  useEffect(() => {
    document.title = [names[names.length - 1], view, 'Usage'].filter(Boolean).join(' · ')
  }, [route.value])
  switch (view) {
    case 'overview': return <Overview />
    case 'tenant': return <Tenant key={names[0]} namespace={names[0] || ''} />
    case 'deployment': return <Deployment key={names.join('/')} namespace={names[0] || ''} deployment={names[1] || ''} />
    case 'resource': return <Resource key={names[0]} uid={names[0] || ''} />
    case 'reports': return <Reports key={names[0]} namespace={names[0] || ''} />
    case 'health': return <Health />
    case 'export': return <Export key={names.join('/')} />
  }
  return <section class="state"><h1>There is no such view</h1><p><a href={href(['overview'])}>To the overview</a></p></section>
}

function Login() {
  const error = useSignal(null)
  const busy = useSignal(false)
  const submit = async (e) => {
    e.preventDefault()
    busy.value = true
    error.value = null
    try {
      await logIn(new FormData(e.target).get('token').trim())
    } catch (err) {
      error.value = err.status === 401 ? 'The cluster does not know this token, or knows it no longer.' : err.message
    }
    busy.value = false
  }
  return <section class="login card">
    <h1>Log in</h1>
    <p>You see the namespaces in which you may list <code>usagerecords</code>. The view that was open is kept.</p>
    <form onSubmit={submit}>
      <label>A token of this cluster <input type="password" name="token" required autocomplete="off" spellcheck={false} /></label>
      <button disabled={busy.value}>Log in</button>
      {error.value && <p class="banner warn" role="alert">{error.value}</p>}
    </form>
    <p class="note">A token such as <code>kubectl create token NAME</code> makes. It is kept in a cookie that no script can read, until you log out or close the browser. Or run <code>kubectl usage dashboard</code>, which needs no token of its own; if that is how you came here, its credentials have expired: run it again.</p>
  </section>
}

render(<App />, document.getElementById('app'))
