// Asks the usage API as a program in TypeScript would: with the types that openapi-typescript makes of its description, and
// nothing else. It prints what was answered, as JSON, for the Go test beside it to compare.
import createClient from 'openapi-fetch'
import type { components, paths } from './usage-api.js'

declare const process: { env: Record<string, string | undefined> }

const { USAGE_API: baseUrl = '', TOKEN: token = '' } = process.env
const api = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } })

const page = (from: string, to: string, cursor?: string) =>
  api.GET('/v1/usage', { params: { query: { from, to, limit: 1, ...(cursor ? { cursor } : {}) } } })

// all walks the pages of a list.
async function all(from: string, to: string): Promise<components['schemas']['UsageRecord'][]> {
  const found: components['schemas']['UsageRecord'][] = []
  for (let cursor: string | undefined; ;) {
    const { data, error } = await page(from, to, cursor)
    if (error) throw new Error(error.message)
    found.push(...data.items)
    if (!data.pagination.next_cursor) return found
    cursor = data.pagination.next_cursor
  }
}

const [from, to] = ['2026-11-01T00:00:00Z', '2026-11-02T00:00:00Z']
const resources = await all(from, to)
const first = resources[0]
if (!first) throw new Error('there is nothing')

const one = await api.GET('/v1/usage/{resource_id}', { params: { path: { resource_id: first.resource_id }, query: { from, to } } })
const report = await api.POST('/v1alpha1/report', { body: { startingOn: from, endingBefore: to, groupBy: ['namespace'] } })
const hourly = await api.POST('/api/web/namespaces/{namespace}/hourly_usage_details', {
  params: { path: { namespace: 'shop' } },
  body: { query: `deployment=web, from=${from}, to=2026-11-01T02:00:00Z` },
})
const batched = await api.POST('/v1/usage', { body: { window_size: 'day', starting_on: from, ending_before: to } })
const status = await api.GET('/v1alpha1/status')
const none = await api.GET('/v1/usage/{resource_id}', { params: { path: { resource_id: 'no-such' }, query: { from, to } } })

console.log(JSON.stringify({
  names: resources.map((r) => r.name),
  quantities: one.data?.dimensions.map((d) => d.quantity),
  totals: report.data?.totals?.map((t) => `${t.resourceType}.${t.dimension} ${t.exact} ${t.exactUnit}`),
  hours: hourly.data?.hourly_usage_items.length,
  days: batched.data?.data.length,
  meters: status.data?.meters,
  problem: none.error?.code,
  status: none.response.status,
}))
