import { isIP } from 'node:net'
import { integer, parsed, type Shape, text, Wrong } from './shape.ts'

const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
const unitBytes = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const

/** Milliseconds, or null: `<int>` + `ms`, `s`, `m`, `h` or `d`. */
export const parseDuration = (value: string): number | null => {
  const found = /^(\d{1,12})(ms|s|m|h|d)$/.exec(value)
  return found ? Number(found[1]) * unitMs[found[2] as keyof typeof unitMs] : null
}

export const formatDuration = (ms: number): string => {
  for (const unit of ['d', 'h', 'm', 's'] as const) if (ms > 0 && ms % unitMs[unit] === 0) return `${ms / unitMs[unit]}${unit}`
  return `${ms}ms`
}

/** A duration in milliseconds, both bounds included. `number` is the code for a bad one (policies use 306). */
export const duration = (min: string, max: string, number = 204): Shape<number> => {
  const [least, most] = [parseDuration(min) ?? 0, parseDuration(max) ?? 0]
  return parsed(
    `a duration from ${min} to ${max}, such as 15m`,
    value => {
      const ms = parseDuration(value)
      if (ms === null) return new Wrong(`"${value}" is not a duration; write a whole number and ms, s, m, h or d, such as 15m.`)
      return ms < least || ms > most ? new Wrong(`${value} is out of range; write ${min} to ${max}.`) : ms
    },
    number,
    { pattern: '^[0-9]+(ms|s|m|h|d)$' },
    formatDuration,
  )
}

/** A size in bytes: `<int>` + `B`, `KiB`, `MiB` or `GiB`. */
export const size = (min: number, max: number): Shape<number> =>
  parsed(
    `a size from ${formatSize(min)} to ${formatSize(max)}, such as 10MiB`,
    value => {
      const found = /^(\d{1,12})(B|KiB|MiB|GiB)$/.exec(value)
      if (!found) return new Wrong(`"${value}" is not a size; write a whole number and B, KiB, MiB or GiB, such as 10MiB.`)
      const bytes = Number(found[1]) * unitBytes[found[2] as keyof typeof unitBytes]
      return bytes < min || bytes > max ? new Wrong(`${value} is out of range; write ${formatSize(min)} to ${formatSize(max)}.`) : bytes
    },
    204,
    { pattern: '^[0-9]+(B|KiB|MiB|GiB)$' },
    formatSize,
  )

export const formatSize = (bytes: number): string => {
  for (const unit of ['GiB', 'MiB', 'KiB'] as const)
    if (bytes >= unitBytes[unit] && bytes % unitBytes[unit] === 0) return `${bytes / unitBytes[unit]}${unit}`
  return `${bytes}B`
}

/** Where to listen or connect: a TCP address, or a UNIX socket. */
export type Endpoint = { readonly host: string; readonly port: number } | { readonly path: string }

export const formatEndpoint = (e: Endpoint): string =>
  'path' in e ? `unix:${e.path}` : e.host.includes(':') ? `[${e.host}]:${e.port}` : `${e.host}:${e.port}`

/** `127.0.0.1:8080`, `[::1]:8080` or `unix:/absolute/path`. Port 0 lets the system choose. */
export const endpoint: Shape<Endpoint> = parsed(
  'an address and port, such as 127.0.0.1:8080, or unix:/path',
  value => {
    if (value.startsWith('unix:/')) return { path: value.slice(5) }
    const found = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(value)
    const host = found?.[1] ?? found?.[2] ?? ''
    const port = Number(found?.[3])
    if (!found || isIP(host) === 0 || port > 65_535)
      return new Wrong(`"${value}" is not an address; write 127.0.0.1:8080, [::1]:8080 or unix:/path.`)
    return { host, port }
  },
  204,
  {},
  formatEndpoint,
)

/** True for a literal in 127.0.0.0/8 or ::1, also as a mapped IPv6 address. A name is never loopback: it may resolve to anything. */
export const isLoopback = (address: string): boolean => {
  const plain = address.toLowerCase().replace(/^::ffff:/, '')
  return (isIP(plain) === 4 && plain.startsWith('127.')) || plain === '::1'
}

/** An absolute `http:` or `https:` URL without user, query or fragment. */
export const httpUrl = (what: string): Shape<URL> =>
  parsed(
    what,
    value => {
      const url = URL.canParse(value) ? new URL(value) : null
      if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:')) return new Wrong(`"${value}" is not a URL; write ${what}.`)
      if (url.username || url.password) return new Wrong('the URL carries a user or password; secrets stand in files only.')
      return url.search || url.hash ? new Wrong('the URL has a query or fragment; remove it.') : url
    },
    204,
    { format: 'uri' },
  )

export const port: Shape<number> = integer(1, 65_535)

/** Path of a file or folder, relative to the file that names it. */
export const path = (what: string): Shape<string> => text(what, value => (value === '' || value.includes('\0') ? `write ${what}.` : null))

/** A DNS name in lower case, without port, wildcard or trailing dot. */
export const hostName = (number = 204): Shape<string> =>
  text(
    'a host name in lower case, without port',
    value =>
      /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/.test(value)
        ? null
        : `"${value}" is not a host name; write it in lower case, without port, wildcard or trailing dot: api.example.com.`,
    number,
  )
