import { describe, expect, it } from 'vitest'
import { refuse } from '../../../src/edge/refuse.ts'
import { type LoginChallenge, type ProblemCode, Refusal } from '../../../src/model/problem.ts'

const challengeOf = (code: ProblemCode, challenge: LoginChallenge | null = null): string | undefined => {
  const { headers } = refuse(new Refusal(code, 'pay', 0, challenge), 'r1', null)
  return headers[headers.indexOf('www-authenticate') + 1]
}

describe('the challenge of a 401', () => {
  it('names no error where no token came, and no reason where one is wrong', () => {
    expect(challengeOf('PST3001')).toBe('Bearer')
    expect(challengeOf('PST3007')).toBe('Bearer error="invalid_token"')
  })

  it('asks for the sign-in that would be enough (RFC 9470)', () => {
    const bearer = 'Bearer error="insufficient_user_authentication"'
    expect(challengeOf('PST2106', { acrValues: ['phrh', 'phr'], maxAge: 900 })).toBe(`${bearer}, acr_values="phrh phr", max_age="900"`)
    expect(challengeOf('PST2106', { acrValues: [], maxAge: 900 })).toBe(`${bearer}, max_age="900"`)
    expect(challengeOf('PST2106', { acrValues: [], maxAge: null })).toBe(bearer)
  })

  it('comes with a body that names the class, and no rule', () => {
    const { status, body } = refuse(new Refusal('PST2106', 'pay', 0, { acrValues: ['phrh'], maxAge: null }), 'r1', null)
    expect([status, JSON.parse(String(body))]).toEqual([401, { title: 'Unauthorized', status: 401, code: 'step-up', request_id: 'r1' }])
  })
})
