/** The pure parts of the bench: what numbers mean and what programs print. */

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2
}

export interface Load {
  readonly requests: number
  readonly rps: number
  readonly p50: number
  readonly p99: number
  /** Answers that were not 2xx or 3xx, and connections that failed. */
  readonly failures: number
}

const millisIn: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000, m: 60_000 }

/** Reads what `wrk --latency` prints; milliseconds. */
export const parseWrk = (text: string): Load => {
  const find = (what: string, pattern: RegExp): RegExpExecArray => {
    const found = pattern.exec(text)
    if (found === null) throw new Error(`wrk printed no ${what}:\n${text}`)
    return found
  }
  const percentile = (p: number): number => {
    const [, value = '', unit = ''] = find(`${p}% latency`, new RegExp(`^\\s+${p}%\\s+([\\d.]+)(us|ms|s|m) *$`, 'm'))
    return Number(value) * (millisIn[unit] ?? Number.NaN)
  }
  const sockets = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text)?.slice(1) ?? []
  const statuses = /Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0
  return {
    requests: Number(find('number of requests', /(\d+) requests in /)[1]),
    rps: Number(find('rate', /^Requests\/sec:\s+([\d.]+)/m)[1]),
    p50: percentile(50),
    p99: percentile(99),
    failures: sockets.reduce((sum, n) => sum + Number(n), Number(statuses)),
  }
}

/** Clock ticks of one core since boot. */
export interface CoreTime {
  readonly busy: number
  readonly total: number
}

/** One core's line of /proc/stat. Time stolen by the hypervisor was not free for us either: it counts as busy. */
export const parseCore = (stat: string, core: number): CoreTime => {
  const line = new RegExp(`^cpu${core} (.*)$`, 'm').exec(stat)?.[1]
  if (line === undefined) throw new Error(`/proc/stat has no cpu${core}`)
  const [user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0, steal = 0] = line.trim().split(/\s+/).map(Number)
  const busy = user + nice + system + irq + soft + steal
  return { busy, total: busy + idle + wait }
}

/** Clock ticks that a process has used, from /proc/PID/stat. Its name may hold blanks and brackets. */
export const parseTicks = (stat: string): number => {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11]) + Number(fields[12])
}

/** `0-2,5` as numbers. */
export const parseCores = (list: string): number[] =>
  list
    .trim()
    .split(',')
    .flatMap(part => {
      const [first = 0, last = first] = part.split('-').map(Number)
      return Array.from({ length: last - first + 1 }, (_, i) => first + i)
    })

export interface CaseFigures {
  readonly name: string
  readonly rps: number
  readonly p50_ms: number
  readonly p99_ms: number
  readonly rss_idle_mb: number
  readonly rss_load_mb: number
  readonly ready_ms: number
}

export interface Target {
  readonly what: string
  readonly found: string
  readonly met: boolean
}

/**
 * The three targets. A peer that could not use its whole core (a busy machine, a load generator at its limit) makes a ratio of rates
 * too kind; one of CPU time for each request says nothing about waiting. The lower one counts.
 */
export const judge = (postern: CaseFigures, plain: CaseFigures, byCpu: number): Target[] => {
  const byRate = postern.rps / plain.rps
  const ratio = Math.min(byRate, byCpu)
  const found = `${ratio.toFixed(3)} (by rate ${byRate.toFixed(3)}, by CPU time ${byCpu.toFixed(3)}; the lower counts)`
  return [
    { what: 'at least 0.22 of nginx-plain', found, met: ratio >= 0.22 },
    { what: 'idle RSS below 110 MB', found: `${postern.rss_idle_mb} MB`, met: postern.rss_idle_mb < 110 },
    { what: 'ready in less than 700 ms', found: `${postern.ready_ms} ms`, met: postern.ready_ms < 700 },
  ]
}

/** Columns as wide as they need to be; the first one to the left, numbers to the right. */
export const table = (rows: readonly (readonly (string | number)[])[]): string => {
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map(row => String(row[i]).length))) ?? []
  const line = (row: readonly (string | number)[]): string =>
    row.map((cell, i) => (i === 0 ? String(cell).padEnd(widths[i] ?? 0) : String(cell).padStart(widths[i] ?? 0))).join('  ')
  return `${rows.map(line).join('\n')}\n`
}
