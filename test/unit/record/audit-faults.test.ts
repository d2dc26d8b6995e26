import { rename, rm, truncate, writeFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { type Disk, nodeDisk } from '../../../src/record/disk.ts'
import { entry, testAudit } from '../../support/audit-kit.ts'
import { ManualClock, settled } from '../../support/manual-clock.ts'

/** A real disk that refuses while `fault` is set, and says when it did. */
const faultyDisk = () => {
  const state = { fault: null as string | null, of: 'write' as 'write' | 'sync', met: Promise.withResolvers<void>() }
  const refuse = (): Promise<never> => {
    state.met.resolve()
    return Promise.reject(Object.assign(new Error('refused'), { code: state.fault }))
  }
  const disk: Disk = {
    ...nodeDisk,
    write: (fd, bytes, offset, length, position) =>
      state.fault !== null && state.of === 'write' ? refuse() : nodeDisk.write(fd, bytes, offset, length, position),
    sync: fd => (state.fault !== null && state.of === 'sync' ? refuse() : nodeDisk.sync(fd)),
  }
  return { disk, state }
}

describe('a disk that cannot be written', () => {
  it.each(['ENOSPC', 'EROFS', 'EIO'])('(%s) makes the audit unready, loses nothing, and is tried again until it works', async code => {
    const { disk, state } = faultyDisk()
    const { audit, clock, log, pass, records, verify } = await testAudit({ disk })
    await audit.idle()
    state.fault = code
    for (let i = 0; i < 3; i++) audit.exchange(entry({ requestId: `r${i}` }))
    await state.met.promise
    await settled()
    expect(audit.status()).toMatchObject({ ready: false, fault: `write: ${code}` })
    audit.exchange(entry({ requestId: 'in-flight' }))
    await clock.advance(20_000)
    expect(audit.ready).toBe(false)
    expect(log.lines.filter(line => line.level === 'error')).toEqual([
      {
        level: 'error',
        fields: { part: 'spool', fault: `write: ${code}` },
        message: 'the audit cannot take records: requests are refused',
      },
    ])
    state.fault = null
    await clock.advance(5_000)
    await audit.flush()
    expect(audit.ready).toBe(true)
    await pass(1)
    const ids = (await records()).flatMap(r => (r['kind'] === 'exchange' ? [(r['request'] as { id: string }).id] : []))
    expect(ids).toEqual(['r0', 'r1', 'r2', 'in-flight'])
    expect(audit.status().lost).toBe(0)
    await audit.close('x')
    expect((await verify()).verdict).toBe('sound')
  })

  it('counts what even the reserve could not keep, and tells of it in a gap record', async () => {
    const { disk, state } = faultyDisk()
    const { audit, clock, pass, records, verify } = await testAudit({ disk, limits: { buffer: 20_000 } })
    await audit.idle()
    state.fault = 'ENOSPC'
    for (let i = 0; i < 100; i++) audit.exchange(entry())
    await state.met.promise
    const { lost } = audit.status()
    expect(lost).toBeGreaterThan(50)
    state.fault = null
    await clock.advance(5_000)
    await audit.flush()
    await pass(1)
    expect(await records()).toContainEqual(
      expect.objectContaining({ kind: 'gap', code: 'PST7061', detail: expect.objectContaining({ lost, reason: 'buffer-full' }) }),
    )
    await audit.close('x')
    expect((await verify()).verdict).toBe('sound')
  })

  it('does not let the refusals that it causes fill the reserve: they are one record afterwards', async () => {
    const { disk, state } = faultyDisk()
    const { audit, clock, pass, records } = await testAudit({ disk })
    await audit.idle()
    state.fault = 'ENOSPC'
    audit.exchange(entry())
    await state.met.promise
    await settled()
    const { buffered } = audit.status()
    for (let i = 0; i < 5000; i++) audit.exchange(entry({ code: 'PST6001', requestId: `r${i}`, effect: 'deny' }))
    expect(audit.status()).toMatchObject({ buffered, folded: 5000, lost: 0 })
    state.fault = null
    await clock.advance(5_000)
    await audit.flush()
    await pass(2)
    expect(await records()).toContainEqual(
      expect.objectContaining({
        kind: 'refusals',
        detail: expect.objectContaining({
          'refused-with': 'PST6001',
          prefix: '203.0.113.0/24',
          count: 5000,
          'first-id': 'r0',
          'last-id': 'r4999',
        }),
      }),
    )
  })

  it('at its end is tried once more and then given up, and what is lost is said', async () => {
    const { disk, state } = faultyDisk()
    const { audit, log } = await testAudit({ disk })
    await audit.idle()
    state.fault = 'EIO'
    audit.exchange(entry())
    await state.met.promise
    await audit.close('x')
    expect(log.lines).toContainEqual(
      expect.objectContaining({
        message: 'the audit was closed without its last records',
        fields: expect.objectContaining({ records: 2 }),
      }),
    )
  })

  it('that refuses to sync makes the audit unready, and no checkpoint vouches for what it may have lost', async () => {
    const { disk, state } = faultyDisk()
    const { audit, pass, clock, log } = await testAudit({ disk })
    await audit.idle()
    Object.assign(state, { fault: 'EIO', of: 'sync' })
    audit.exchange(entry())
    await audit.flush()
    await clock.advance(1_000)
    await state.met.promise
    await audit.idle()
    await pass(10)
    expect(audit.status()).toMatchObject({ ready: false, fault: 'sync: EIO', checkpoint: { size: 1 } })
    expect(log.lines).toEqual([expect.objectContaining({ level: 'error', fields: { part: 'spool', fault: 'sync: EIO' } })])
    state.fault = null
    await pass(10)
    expect(audit.status()).toMatchObject({ ready: true, checkpoint: { size: 2 } })
  })

  it('that does not answer at all makes the audit unready after five seconds, and does not hold up the end', async () => {
    let hang = false
    const disk: Disk = { ...nodeDisk, write: (...args) => (hang ? new Promise<never>(() => {}) : nodeDisk.write(...args)) }
    const { audit, clock, log } = await testAudit({ disk })
    await audit.idle()
    hang = true
    audit.exchange(entry())
    await settled()
    expect(audit.ready).toBe(true)
    await clock.advance(5_001)
    expect(audit.status().fault).toBe('disk-stuck')
    const closing = audit.close('x')
    await clock.advance(10_000)
    await closing
    expect(log.lines.at(-1)?.message).toBe('the audit could not be closed in time; its last records are not signed')
  })
})

describe('the bound of the spool', () => {
  it('makes the audit unready, keeps what is in flight, and lifts when files are moved away', async () => {
    const clock = new ManualClock()
    const old = await testAudit({ clock, settings: { 'spool-max': 1024 ** 2 } })
    for (let i = 0; i < 700; i++) old.audit.exchange(entry())
    await old.audit.close('x')
    await clock.advance(10)
    const { audit, pass, base, log } = await testAudit({ clock, base: old.base, settings: { 'spool-max': 256 * 1024 } })
    expect(audit.status()).toMatchObject({ ready: false, fault: 'spool-full' })
    audit.exchange(entry())
    await pass(1)
    expect(audit.status()).toMatchObject({ ready: false, lost: 0 })
    expect(log.lines).toContainEqual(expect.objectContaining({ level: 'error', fields: { part: 'spool', fault: 'spool-full' } }))
    await rm(`${base}/audit/${old.chain}`, { recursive: true })
    await pass(2)
    expect(audit.ready).toBe(true)
    await audit.close('x')
  })
})

describe('a file that was taken away', () => {
  const taken: readonly (readonly [string, (path: string) => Promise<void>])[] = [
    ['removed', path => rm(path)],
    ['replaced', path => rename(path, `${path}.1`).then(() => writeFile(path, ''))],
    ['shortened', path => truncate(path, 10)],
  ]

  it.each(taken)('(%s) is noticed within a second, logged, recorded, and left for a new one', async (why, take) => {
    const { audit, own, pass, log, segments, verify } = await testAudit()
    for (let i = 0; i < 4; i++) audit.exchange(entry())
    await audit.flush()
    await take(own('000000000000.jsonl'))
    await pass(1)
    audit.exchange(entry({ requestId: 'after' }))
    await audit.flush()
    expect(await segments()).toContain('000000000005.jsonl')
    expect(log.lines).toContainEqual(
      expect.objectContaining({ level: 'error', fields: expect.objectContaining({ why, first: 0, last: 4 }) }),
    )
    expect(audit.status()).toMatchObject({ ready: true, lost: 5 })
    await audit.close('x')
    const report = await verify()
    expect(report.verdict).toBe('tampered')
    expect(report.findings[0]).toMatchObject(why === 'removed' ? { kind: 'missing', first: 0, last: 4 } : { first: 0 })
  })

  it('together with its folder is replaced too', async () => {
    const { audit, base, pass, segments } = await testAudit()
    await audit.idle()
    await rm(`${base}/audit`, { recursive: true })
    await pass(1)
    await audit.close('x')
    expect(await segments()).toEqual(['000000000001.jsonl'])
  })
})

describe('refusals that cost their sender nothing', () => {
  const stranger = (n: number, ip = '198.51.100.9') =>
    entry({ subject: null, code: 'PST3001', effect: 'deny', requestId: `s${n}`, clientIp: ip })

  it('are one record each at first, then counted by code and source prefix, and never trip the service', async () => {
    const { audit, pass, records } = await testAudit()
    for (let i = 0; i < 1000; i++) audit.exchange(stranger(i))
    audit.exchange(stranger(1000, '2001:db8:1:2:3::4'))
    await pass(1)
    const all = await records()
    expect(all.filter(r => r['code'] === 'PST3001')).toHaveLength(101)
    expect(all.filter(r => r['kind'] === 'refusals').map(r => r['detail'])).toEqual([
      expect.objectContaining({ 'refused-with': 'PST3001', prefix: '198.51.100.0/24', count: 900, 'first-id': 's100', 'last-id': 's999' }),
    ])
  })

  it('get ten more records a second', async () => {
    const { audit, pass, records } = await testAudit()
    for (let i = 0; i < 200; i++) audit.exchange(stranger(i))
    await pass(2)
    for (let i = 0; i < 200; i++) audit.exchange(stranger(i))
    await pass(1)
    expect((await records()).filter(r => r['code'] === 'PST3001')).toHaveLength(120)
  })

  it('may use a fifth of the spool and no more, however many sources they have', async () => {
    const { audit, pass } = await testAudit({ settings: { 'spool-max': 1024 ** 2 } })
    for (let i = 0; i < 20_000; i++) audit.exchange(stranger(i, `10.${i % 256}.${(i >> 8) % 256}.1`))
    await pass(70)
    expect(audit.ready).toBe(true)
    expect(audit.status().spoolBytes).toBeLessThan(1024 ** 2 * 0.25)
    expect(audit.status().folded).toBeGreaterThan(10_000)
  })
})
