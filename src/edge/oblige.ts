import { type Answer, type Origin, Outgoing } from '../model/exchange.ts'
import type { Permit } from '../model/permit.ts'
import { Refusal } from '../model/problem.ts'
import { describesBody, type MaskRoom, mask } from './hide/mask.ts'

const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/**
 * Turns what the backend answered into what the client may see: hop-by-hop fields (RFC 9110 section 7.6.1) and every `x-postern-*` go,
 * the ids and `added` come, and the members that the permit hides are removed. A promise only where there are some. The permit is asked for
 * because a reply without a decision must not exist.
 */
export const oblige = (
  permit: Permit,
  answer: Answer,
  origin: Origin,
  added: readonly string[],
  room: () => MaskRoom,
): Outgoing | Refusal | Promise<Outgoing | Refusal> => {
  const headers = endToEnd(answer)
  if (headers instanceof Refusal) return headers
  headers.push('x-postern-request-id', origin.id, ...added)
  if (origin.gatewayRequestId !== null) headers.push('x-postern-gateway-request-id', origin.gatewayRequestId)
  const { hide } = permit.obligations
  return hide.length === 0
    ? new Outgoing(answer.status, headers, answer.body, false)
    : mask(hide, origin.method, answer, room()).then(masked => {
        if (masked instanceof Refusal) return masked
        const kept = headers.filter((_, i) => !describesBody.has(headers[i - (i % 2)] ?? ''))
        if (masked.body.whole === null) kept.push('content-length', String(masked.bytes))
        return new Outgoing(answer.status, kept, masked.body, false, masked.hidden)
      })
}

const endToEnd = (answer: Answer): string[] | Refusal => {
  const headers: string[] = []
  const nominated: string[] = []
  for (let i = 0; i < answer.headers.length; i += 2) {
    const name = answer.headers[i] ?? ''
    const value = answer.headers[i + 1] ?? ''
    if (name === 'connection') for (const token of value.toLowerCase().split(',')) nominated.push(token.trim())
    // undici has undone the chunks; any other coding would reach the client unnamed and unreadable.
    if (name === 'transfer-encoding' && value.toLowerCase() !== 'chunked') return new Refusal('PST5002', 'transfer-encoding')
    // Proofs are made for Postern: a nonce of the backend's would make the next one wrong.
    if (name === 'dpop-nonce') continue
    if (hopByHop.has(name) || /^x[-_.]postern[-_.]/.test(name)) continue
    if (name === 'content-length' && answer.status === 204) continue
    headers.push(name, value)
  }
  return nominated.some(name => name !== 'close' && name !== 'keep-alive') ? withoutNominated(headers, nominated) : headers
}

/** A backend may drop its own fields by nominating them, but not those that frame or date the message. */
const withoutNominated = (headers: readonly string[], nominated: readonly string[]): string[] => {
  const kept: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? ''
    if (!nominated.includes(name) || name === 'content-length' || name === 'date' || name === 'set-cookie')
      kept.push(name, headers[i + 1] ?? '')
  }
  return kept
}
