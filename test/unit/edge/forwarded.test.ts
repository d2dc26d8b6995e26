import { describe, expect, it } from 'vitest'
import { type ClientIpSource, forwardedIp } from '../../../src/edge/forwarded.ts'
import { Refusal } from '../../../src/model/problem.ts'

const read = (lines: readonly string[], source: ClientIpSource): string | null => {
  const found = forwardedIp(lines, source)
  return found instanceof Refusal ? found.code : found
}

describe('Forwarded (RFC 7239)', () => {
  const source = (hops: number): ClientIpSource => ({ from: 'forwarded', hops })
  it.each<[string, number, string | null]>([
    ['for=192.0.2.43', 1, '192.0.2.43'],
    ['For="[2001:db8:cafe::17]:4711"', 1, '2001:db8:cafe::17'],
    ['for=192.0.2.60;proto=http;by=203.0.113.43', 1, '192.0.2.60'],
    ['for=192.0.2.43, for=198.51.100.17', 1, '198.51.100.17'],
    ['for=192.0.2.43, for=198.51.100.17', 2, '192.0.2.43'],
    ['for=192.0.2.43 ,\tfor=198.51.100.17', 1, '198.51.100.17'],
    ['for="192.0.2.43:_port"', 1, '192.0.2.43'],
    ['for="[::ffff:192.0.2.1]"', 1, '192.0.2.1'],
    ['for=unknown', 1, null],
    ['for=_gazonk', 1, null],
    ['proto=https', 1, null],
    ['host="a,b", for=192.0.2.1', 1, '192.0.2.1'],
    ['host="a\\",for=6.6.6.6, for=\\"", for=192.0.2.1', 1, '192.0.2.1'],
  ])('%s at hop %i is %s', (line, hops, address) => {
    expect(read([line], source(hops))).toBe(address)
  })

  it.each([
    '',
    ',',
    'for=192.0.2.1,',
    ',for=192.0.2.1',
    'for',
    'for=',
    'for =192.0.2.1',
    'for= 192.0.2.1',
    'for=192.0.2.1; proto=http',
    'for=192.0.2.1;',
    'for=192.0.2.1;for=6.6.6.6',
    'for=192.0.2.1;FOR=6.6.6.6',
    'for=2001:db8::1',
    'for="2001:db8::1"',
    'for=[2001:db8::1]',
    'for="[192.0.2.1]"',
    'for="[2001:db8::1%eth0]"',
    'for=192.0.2.1:80',
    'for=192.0.2.256',
    'for=192.0.2.01',
    'for="192.0.2.1',
    'for=192.0.2.1"',
    'for="192.0.2.1"x',
    'for=192.0.2.1 for=192.0.2.2',
    'for=example.com',
    'for="192.0.2.1\u00e9"',
    'for=192.0.2.1/24',
  ])('%j is refused', line => {
    expect(read([line], source(1))).toBe('PST1103')
  })

  it('is unknown when absent, and refused when shorter than its hops or on two lines', () => {
    expect(read([], source(1))).toBeNull()
    expect(read(['for=192.0.2.1'], source(2))).toBe('PST1103')
    expect(read(['for=192.0.2.1', 'for=192.0.2.2'], source(1))).toBe('PST1103')
  })

  it('takes a megabyte of quotes in no time', () => {
    const from = performance.now()
    read([`for="${'\\"'.repeat(500_000)}`], source(1))
    read([','.repeat(1_000_000)], source(1))
    read([`${'for=1.1.1.1,'.repeat(100_000)}x`], source(1))
    expect(performance.now() - from).toBeLessThan(2000)
  })
})

describe('X-Forwarded-For', () => {
  it.each<[string, number, string | null]>([
    ['192.0.2.1', 1, '192.0.2.1'],
    ['client words, 192.0.2.1', 1, '192.0.2.1'],
    ['2001:DB8::1', 1, '2001:db8::1'],
    ['::ffff:192.0.2.1', 1, '192.0.2.1'],
    ['192.0.2.1 , 10.0.0.1', 2, '192.0.2.1'],
    ['192.0.2.1', 2, 'PST1103'],
    ['192.0.2.1,', 1, 'PST1103'],
    ['[2001:db8::1]', 1, 'PST1103'],
    ['192.0.2.1:80', 1, 'PST1103'],
    ['unknown', 1, 'PST1103'],
    ['fe80::1%eth0', 1, 'PST1103'],
    ['\u00a0192.0.2.1', 1, 'PST1103'],
    ['', 1, 'PST1103'],
  ])('%j at hop %i is %s', (line, hops, address) => {
    expect(read([line], { from: 'x-forwarded-for', hops })).toBe(address)
  })
})
