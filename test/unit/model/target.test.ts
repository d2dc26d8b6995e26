import { describe, expect, it } from 'vitest'
import { Ambiguous, canonicalTarget } from '../../../src/model/target.ts'

describe('one spelling of the request target', () => {
  it.each([
    ['/v1/a', '/v1/a', null],
    ['/', '/', null],
    ['/v1/a/', '/v1/a/', null],
    ['/v1/%61%7e?x=%2F;y', '/v1/a~', 'x=%2F;y'],
    ['/v1/caf%c3%a9', '/v1/caf%C3%A9', null],
    ['/a?b?c', '/a', 'b?c'],
    ['/a/...', '/a/...', null],
    ['/a/.well-known', '/a/.well-known', null],
    ['/100%25', '/100%25', null],
  ])('%s is %s', (raw, path, query) => {
    expect(canonicalTarget(raw)).toEqual({ path, query })
  })

  it.each([
    '/a/../b',
    '/a/./b',
    '/..',
    '/a/%2e%2e/b',
    '/a/.%2E/b',
    '/a/%2e',
    '//a',
    '/a//b',
    '/a%2fb',
    '/a%2Fb',
    '/a%5cb',
    '/a\\b',
    '/a;b',
    '/a%3bb',
    '/a/..;/b',
    '/a%252fb',
    '/a%25%32%66b',
    '/v1/%25%32%65%25%32%65/x',
    '/v1/%252%65/x',
    '/a%252e%252e/b',
    '/a%zz',
    '/a%',
    '/a%4',
    '/a%00',
    '/a%0a',
    '/a%7f',
    '/a%c0%ae',
    '/a%ff',
    '/a#b',
    '/a b',
    '/é',
    'a',
    '',
    '*',
    'http://h/a',
    '/a?b#c',
    '/a?b c',
  ])('%s is refused', raw => {
    expect(canonicalTarget(raw)).toBeInstanceOf(Ambiguous)
  })

  it('what is canonical stays as it is', () => {
    let seed = 7
    const next = (below: number): number => {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff
      return (seed >> 8) % below
    }
    const pieces = ['/', 'a', '%', '2', '5', 'e', 'E', '.', 'f', 'F', '%25', '%2e', '%40', '%c3', '%a9', '~', '+', ':']
    for (let n = 0; n < 20_000; n++) {
      const target = canonicalTarget(`/${Array.from({ length: next(12) }, () => pieces[next(pieces.length)]).join('')}`)
      if (!(target instanceof Ambiguous)) expect(canonicalTarget(target.path)).toEqual(target)
    }
  })
})
