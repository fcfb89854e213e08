import { href } from '../state.js'
import { Usage } from '../usage.jsx'

export function Tenant({ namespace }) {
  return <>
    <nav class="crumbs" aria-label="Where this is"><a href={href(['overview'])}>Overview</a></nav>
    <h1><span class="kind">Tenant</span> {namespace}</h1>
    <Usage filters={{ namespaces: [namespace] }} caption={'What is largest in ' + namespace} groups={[['deployment', 'Deployment'], ['resource', 'Resource'], ['resourceType', 'Type']]} />
  </>
}

export function Deployment({ namespace, deployment }) {
  return <>
    <nav class="crumbs" aria-label="Where this is"><a href={href(['overview'])}>Overview</a> <a href={href(['tenant', namespace])}>{namespace}</a></nav>
    <h1><span class="kind">Deployment</span> {deployment || '(no deployment)'}</h1>
    <Usage filters={{ namespaces: [namespace], deployments: [deployment] }} caption={'What is largest in ' + deployment} groups={[['resource', 'Resource'], ['container', 'Container'], ['resourceType', 'Type']]} />
  </>
}
