import { describe, expect, it } from 'vitest'
import type { PeerCertificate } from '../../src/edge/peer-certificate.ts'
import { GatewayCertificates } from '../../src/gateway-certificates.ts'
import { memoryLog } from '../support/issuer.ts'
import { ManualClock } from '../support/manual-clock.ts'

const day = 86_400_000

describe('the end of the gateway certificate', () => {
  const made = () => {
    const clock = new ManualClock()
    const log = memoryLog()
    const watched = new GatewayCertificates(clock, log)
    const start = clock.now()
    const certificate = (pin: string, days: number): PeerCertificate => ({ pin, anchor: null, notBefore: 0, notAfter: start + days * day })
    const levels = (): string[] => log.lines.map(line => line.level)
    return { clock, watched, certificate, levels }
  }

  it('is told 60, 30 and 7 days before, once each, on a connection that stays open', async () => {
    const { clock, watched, certificate, levels } = made()
    const yearly = certificate('a', 365)
    for (let quarter = 0; quarter < 365 * 4; quarter++) {
      watched.proved(yearly)
      const days = 365 - quarter / 4
      expect(levels()).toHaveLength(days > 60 ? 0 : days > 30 ? 1 : days > 7 ? 2 : 3)
      await clock.advance(day / 4)
    }
    expect(levels()).toEqual(['warn', 'warn', 'error'])
  })

  it('is told at once, and only once, for a certificate that is met late', async () => {
    const { clock, watched, certificate, levels } = made()
    watched.proved(certificate('a', 5))
    await clock.advance(day)
    watched.proved(certificate('a', 5))
    expect(levels()).toEqual(['error'])
  })

  it('is shown for both during a rotation, and no longer for the one that was replaced', async () => {
    const { clock, watched, certificate } = made()
    watched.proved(certificate('old', 20))
    watched.proved(certificate('new', 365))
    expect(watched.list().map(({ pin }) => pin)).toEqual(['old', 'new'])
    await clock.advance(2 * day)
    expect(watched.list()).toHaveLength(2)
    watched.proved(certificate('new', 365))
    expect(watched.list().map(({ pin }) => pin)).toEqual(['new'])
  })

  it('is kept for eight certificates at most', () => {
    const { watched, certificate } = made()
    for (let i = 0; i < 100; i++) watched.proved(certificate(String(i), 365))
    expect(watched.list().map(({ pin }) => pin)).toEqual(['92', '93', '94', '95', '96', '97', '98', '99'])
  })
})
