import { describe, expect, it } from 'vitest'
import { TokenCache } from '../../../src/identity/cache.ts'

describe('the token cache', () => {
  it('holds no more entries than its bound, the oldest going first', () => {
    const cache = new TokenCache<number>(3, 1 << 20)
    for (let i = 0; i < 10; i++) cache.set(`t${i}`, i)
    expect(cache.size).toBe(3)
    expect(cache.get('t6')).toBeUndefined()
    expect(cache.get('t7')).toBe(7)
  })

  it('holds no more bytes than its bound', () => {
    const cache = new TokenCache<number>(1000, 100_000)
    for (let i = 0; i < 200; i++) cache.set(`${i}`.padEnd(1000, 'x'), i)
    expect(cache.bytes).toBeLessThanOrEqual(100_000)
    expect(cache.size).toBeGreaterThan(10)
  })

  it('an entry larger than the whole bound is not kept', () => {
    const cache = new TokenCache<number>(10, 2000)
    cache.set('x'.repeat(1000), 1)
    expect([cache.size, cache.bytes]).toEqual([0, 0])
  })

  it('an entry set again is the newest, and is counted once', () => {
    const cache = new TokenCache<string>(2, 1 << 20)
    cache.set('a', '1')
    cache.set('b', '1')
    const before = cache.bytes
    cache.set('a', '2')
    expect(cache.bytes).toBe(before)
    cache.set('c', '1')
    expect([cache.get('a'), cache.get('b'), cache.get('c')]).toEqual(['2', undefined, '1'])
  })

  it('a sweep lets go of what is not usable and of its bytes', () => {
    const cache = new TokenCache<number>(100, 1 << 20)
    for (let i = 0; i < 10; i++) cache.set(`t${i}`, i)
    cache.sweep(i => i > 6)
    expect(cache.size).toBe(3)
    cache.sweep(() => false)
    expect([cache.size, cache.bytes]).toEqual([0, 0])
  })
})
