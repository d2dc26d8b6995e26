import { describe, expect, it } from 'vitest'
import { type CaseFigures, judge, median, parseCore, parseCores, parseTicks, parseWrk, table } from '../../bench/figures.ts'

const wrkText = (extra = ''): string => `Running 8s test @ http://127.0.0.1:8080
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     3.41ms    1.20ms  31.02ms   90.12%
    Req/Sec    19.02k     1.11k   21.40k    71.25%
  Latency Distribution
     50%  812.00us
     75%    3.80ms
     90%    4.41ms
     99%    1.02s 
  151415 requests in 8.00s, 66.42MB read
${extra}Requests/sec:  18921.43
Transfer/sec:      8.30MB
`

describe('what wrk prints', () => {
  it('is read in milliseconds', () => {
    expect(parseWrk(wrkText())).toEqual({ requests: 151_415, rps: 18_921.43, p50: 0.812, p99: 1020, failures: 0 })
  })

  it('counts answers and connections that failed', () => {
    const text = wrkText('  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 50\n')
    expect(parseWrk(text).failures).toBe(60)
  })

  it('is refused where a figure is missing', () => {
    expect(() => parseWrk('unable to connect to 127.0.0.1:1 Connection refused\n')).toThrow(/wrk printed no .*Connection refused/s)
  })
})

describe('what Linux tells', () => {
  const stat = 'cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 100 1 50 800 40 3 4 2 0 0\ncpu1 5 0 5 90 0 0 0 0 0 0\ncpu10 1 1 1 1 1 1 1 1 0 0\n'

  it('splits the time of a core', () => {
    expect(parseCore(stat, 0)).toEqual({ busy: 160, total: 1000 })
    expect(parseCore(stat, 1)).toEqual({ busy: 10, total: 100 })
    expect(() => parseCore(stat, 2)).toThrow('cpu2')
  })

  it('gives the ticks of a process, whatever its name', () => {
    expect(parseTicks('7 (a) b (c)) S 1 7 7 0 -1 4194304 900 0 0 0 31 11 0 0 20 0 11 0 5')).toBe(42)
  })

  it('lists cores', () => {
    expect(parseCores('0-2,5\n')).toEqual([0, 1, 2, 5])
    expect(parseCores('3')).toEqual([3])
  })
})

it('the median is the middle one, or between the two', () => {
  expect(median([9, 1, 5])).toBe(5)
  expect(median([4, 1, 2, 3])).toBe(2.5)
  expect(median([])).toBeNaN()
})

describe('the targets', () => {
  const figures = (name: string, rps: number, idle = 90, ready = 200): CaseFigures => ({
    name,
    rps,
    p50_ms: 1,
    p99_ms: 2,
    rss_idle_mb: idle,
    rss_load_mb: 180,
    ready_ms: ready,
  })
  const met = (postern: CaseFigures, byCpu = 0.27): boolean[] =>
    judge(postern, figures('nginx-plain', 100), byCpu).map(target => target.met)

  it('count the lower of the two ratios', () => {
    expect(met(figures('postern', 22))).toEqual([true, true, true])
    expect(met(figures('postern', 21.9))).toEqual([false, true, true])
    expect(met(figures('postern', 55), 0.219)).toEqual([false, true, true])
  })

  it('are bounds that must not be reached', () => {
    expect(met(figures('postern', 30, 110, 700))).toEqual([true, false, false])
  })
})

it('a table has straight columns', () => {
  expect(
    table([
      ['case', 'rps'],
      ['nginx-plain', 7],
    ]),
  ).toBe('case         rps\nnginx-plain    7\n')
})
