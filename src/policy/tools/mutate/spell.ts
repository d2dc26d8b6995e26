import { formatDuration } from '../../../config/values.ts'
import type { TestRequest } from '../../tests/caller.ts'
import type { Expectation } from '../../tests/case.ts'
import { spelled } from '../../tests/run.ts'

/** A line of `cases`, as a person would write it. `at` null: the clock of the file. */
export const spelledCase = ({ caller, request, overrides, by, role, hide, ...outcome }: Expectation, at: number | null): string => {
  const keys = [...overrides].map(([key, value]) => `${key}: ${spelledKey(key, value)}`)
  const parts = [
    `ask: ${caller} ${request}`,
    ...(keys.length === 0 ? [] : [`with: { ${keys.join(', ')} }`]),
    ...(at === null ? [] : [`at: "${new Date(at).toISOString().replace('.000Z', 'Z')}"`]),
    `expect: ${spelled(outcome)}${by === null ? '' : ` by ${by}`}`,
    ...(role === null ? [] : [`role: ${role}`]),
    ...(hide === null ? [] : [`hide: ${list(hide)}`]),
  ]
  return `- { ${parts.join(', ')} }`
}

/** A line of `requests`. */
export const spelledRequest = (name: string, { method, target, headers }: TestRequest): string => {
  const call = text(`${method} ${target.path}${target.query === null ? '' : `?${target.query}`}`)
  if (headers.length === 0) return `${name}: ${call}`
  const fields = new Map<string, string[]>()
  for (let i = 0; i < headers.length; i += 2) {
    const field = headers[i] ?? ''
    fields.set(field, [...(fields.get(field) ?? []), headers[i + 1] ?? ''])
  }
  const spelledFields = [...fields].map(
    ([field, values]) => `${text(field)}: ${values.length === 1 ? text(values[0] ?? '') : list(values)}`,
  )
  return `${name}: { call: ${call}, header: { ${spelledFields.join(', ')} } }`
}

const spelledKey = (key: string, value: unknown): string => {
  if (key === 'act' && Array.isArray(value))
    return value.reduceRight((inner: string, sub) => `{ sub: ${text(String(sub))}${inner && `, act: ${inner}`} }`, '')
  if (typeof value === 'object' && value !== null && 'ago' in value) return `${formatDuration(Number(value.ago))} ago`
  if (Array.isArray(value)) return list(value)
  return typeof value === 'string' ? text(value) : String(value)
}

const list = (values: readonly unknown[]): string =>
  `[${values.map(value => (typeof value === 'string' ? text(value) : String(value))).join(', ')}]`

/** Plain where YAML reads it as the same text in any place. */
const text = (value: string): string =>
  /^[A-Za-z/][A-Za-z0-9 ./?=&%_|-]*$/.test(value) && !value.endsWith(' ') && !/^(true|false|null|yes|no|on|off)$/i.test(value)
    ? value
    : JSON.stringify(value)
