import { type Answer, fieldValues, type Method } from '../../model/exchange.ts'
import { Refusal } from '../../model/problem.ts'
import { type Coding, codingOf } from './coding.ts'

/** What the head of a reply promises of its body. `none`: that nothing comes. */
export type Content = 'none' | { readonly coding: Coding | 'identity' }

/** Replies that never have a body (RFC 9110 sections 9.3.2, 15.3.5, 15.4.5). */
const isBodiless = (method: Method, status: number): boolean => method === 'HEAD' || status === 204 || status === 304

/** Parts (206) and differences (226, RFC 3229) are no texts of their own: no path leads through them. */
const isPart = (status: number): boolean => status === 206 || status === 226

/** Decides by the head alone whether a reply could be masked. */
export const contentOf = (method: Method, { status, headers }: Answer): Content | Refusal => {
  if (isBodiless(method, status)) return 'none'
  if (isPart(status)) return impossible('partial reply')
  const types = fieldValues(headers, 'content-type')
  if (types.length === 0) return 'none'
  if (types.length > 1 || !isJson(types[0] ?? '')) return impossible('content-type')
  const coding = codingOf(fieldValues(headers, 'content-encoding'))
  return coding === null ? impossible('content-encoding') : { coding }
}

export const impossible = (detail: string): Refusal => new Refusal('PST5006', detail)

const token = "[!#$%&'*+.^_`|~\\w-]+"
const parameter = `(${token})=(${token}|"(?:[^"\\\\]|\\\\.)*")`
const mediaType = new RegExp(`^(${token}/${token})[ \\t]*((?:;[ \\t]*(?:${parameter}[ \\t]*)?)*)$`)
const parameters = new RegExp(`;[ \\t]*${parameter}`, 'g')

/** `application/json` or `+json` in UTF-8 (RFC 9110 section 8.3.1). What does not fit the grammar is read by every client in its own way. */
export const isJson = (value: string): boolean => {
  const [, type = '', rest = ''] = mediaType.exec(value) ?? []
  if (!/^application\/json$|\+json$/i.test(type)) return false
  const charsets = [...rest.matchAll(parameters)].filter(([, name]) => name?.toLowerCase() === 'charset')
  return charsets.every(([, , charset = '']) => /^("?)utf-?8\1$/i.test(charset))
}
