// What the usage API is asked. Every answer without a figure is one of four, and an error says
// which: nothing was used, unknown, not visible, no such name.
import { signal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { useSignal } from '@preact/signals'
import { began, tick } from './state.js'

/** session is who asks: undefined before it is known, null for nobody. */
export const session = signal(undefined)

/** Refusal is an answer that is none. */
export class Refusal extends Error {
  constructor(status, code, message) {
    super(message)
    this.status = status
    this.code = code
  }
}

export async function ask(method, path, body, abort) {
  let response
  try {
    response = await fetch('../' + path, {
      method, signal: abort, credentials: 'same-origin', redirect: 'error',
      headers: body ? { 'Content-Type': 'application/json' } : {}, body: body && JSON.stringify(body),
    })
  } catch (err) {
    if (err.name === 'AbortError') throw err
    throw new Refusal(0, 'unreachable', 'The usage API cannot be reached.')
  }
  let answer
  try {
    answer = await response.json()
  } catch {
    throw new Refusal(response.status, 'unreadable', 'The answer of the usage API cannot be read (status ' + response.status + ').')
  }
  if (response.ok) return answer
  if (response.status === 401) session.value = null
  throw new Refusal(response.status, answer.code || '', answer.message || 'The usage API answers with status ' + response.status + '.')
}

export async function whoAsks() {
  try {
    const who = await ask('GET', 'ui/session')
    const status = await ask('GET', 'v1alpha1/status').catch(() => ({})) // views say what is wrong
    began.value = Date.parse(status.meteringBegan || '') / 1000 || 0
    session.value = who
  } catch (err) {
    session.value = err.status === 401 ? null : { failed: err }
  }
}

export async function logIn(token) {
  await ask('POST', 'ui/session', { token })
  await whoAsks()
}

export async function logOut() {
  await ask('DELETE', 'ui/session').catch(() => {})
  session.value = null
}

/** lost tells that what was shown may not be seen any more, or is there no more. */
const lost = (error) => error.status === 403 || error.status === 404

/**
 * useAnswer asks again when what is asked changes, and keeps the last answer until there is
 * another, so that nothing flickers. Key tells questions apart; the same with another window,
 * as it moves, is the same question.
 */
export function useAnswer(key, question) {
  const state = useSignal({ key: null, answer: null, error: null, busy: true })
  const last = useRef(null)
  const text = JSON.stringify(question)
  useEffect(() => {
    if (!question) return
    const abort = new AbortController()
    const before = last.current === key ? state.value.answer : null
    last.current = key
    state.value = { key, answer: before, error: null, busy: true }
    ask(question[0], question[1], question[2], abort.signal).then(
      (answer) => { state.value = { key, answer, error: null, busy: false } },
      (error) => { if (error.name !== 'AbortError') state.value = { key, answer: lost(error) ? null : before, error, busy: false } })
    return () => abort.abort()
  }, [key, text, tick.value])
  return state.value.key === key ? state.value : { key, answer: null, error: null, busy: true }
}
