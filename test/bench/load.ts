import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Case, fields, path } from './cases.ts'
import { type Load, parseWrk } from './figures.ts'
import { coreTime, cpuOf, type Processes, type Running, rssOf } from './processes.ts'

export const connections = 64

/** Every request is made before the first is sent: a round costs the load generator one table look-up for each. */
const script = (tokens: readonly string[]): string => `local tokens = {
${tokens.map(token => `"${token}",`).join('\n')}
}
local requests = {}
local next = 0
function init(args)
  local fields = { ${Object.entries(fields)
    .map(([name, value]) => `["${name}"] = "${value}"`)
    .join(', ')} }
  for i, token in ipairs(tokens) do
    fields["authorization"] = "Bearer " .. token
    requests[i] = wrk.format("GET", "${path}", fields)
  end
end
function request()
  next = next % #requests + 1
  return requests[next]
end
`

export const writeScript = async (dir: string, tokens: readonly string[]): Promise<string> => {
  const file = join(dir, 'load.lua')
  await writeFile(file, script(tokens))
  return file
}

export interface Round extends Load {
  readonly name: string
  /** Largest resident memory seen, MB. */
  readonly rss: number
  /** Microseconds of the proxy's own CPU for each request. */
  readonly cpuUs: number
  /** Shares of a core: what the proxy used, all that was used on its core, and on the core of load and origin. */
  readonly proxy: number
  readonly proxyCore: number
  readonly loadCore: number
}

export interface Bench {
  readonly processes: Processes
  readonly cores: { readonly proxy: number; readonly load: number }
  readonly script: string
}

/** One round of load on a running case. */
export const loadRound = async (bench: Bench, each: Case, running: Running, seconds: number): Promise<Round> => {
  const { cores, processes } = bench
  let rss = rssOf(running.pid)
  const sampling = setInterval(() => (rss = Math.max(rss, rssOf(running.pid))), 200)
  const before = { at: performance.now(), cpu: cpuOf(running.pid), proxy: coreTime(cores.proxy), load: coreTime(cores.load) }
  try {
    const url = `http://127.0.0.1:${each.port}`
    const command = ['wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '5s', '--latency', '-s', bench.script, url]
    const load = parseWrk(await processes.run(cores.load, command))
    if (load.failures > 0) throw new Error(`${each.name}: ${load.failures} of ${load.requests} requests failed`)
    const cpu = cpuOf(running.pid) - before.cpu
    const share = (core: number, since: { busy: number; total: number }): number => {
      const now = coreTime(core)
      return (now.busy - since.busy) / Math.max(1, now.total - since.total)
    }
    return {
      ...load,
      name: each.name,
      rss,
      cpuUs: (cpu * 1000) / load.requests,
      proxy: cpu / (performance.now() - before.at),
      proxyCore: share(cores.proxy, before.proxy),
      loadCore: share(cores.load, before.load),
    }
  } finally {
    clearInterval(sampling)
  }
}
