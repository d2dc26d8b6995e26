import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startBackend } from '../../../deploy/demo/backend.ts'

describe('the demo backend without a database', () => {
  let backend: Awaited<ReturnType<typeof startBackend>>
  beforeAll(async () => {
    backend = await startBackend({ port: 0 })
  })
  afterAll(() => backend.close())

  const ask = async (path: string, tenant: string, init: RequestInit = {}) => {
    const headers = new Headers(init.headers)
    if (tenant) headers.set('x-postern-tenant', tenant)
    const reply = await fetch(`http://127.0.0.1:${backend.port}${path}`, { ...init, headers })
    return {
      status: reply.status,
      body: (await reply.json()) as { invoices: { id: string }[]; invoice: { id: string }; login: unknown; from: string },
    }
  }

  it('shows which login it was given, and never the password', async () => {
    const login = { role: 'acme_ro', username: 'someone', password: 'hunter2', generation: '3' }
    const headers = Object.fromEntries(Object.entries(login).map(([name, value]) => [`x-postern-cassandra-${name}`, value]))
    const { status, body } = await ask('/v1/invoices?x=1', 'acme', { headers })
    expect(status).toBe(200)
    expect(body).toMatchObject({ from: 'memory', login: { role: 'acme_ro', username: 'someone', generation: 3 } })
    expect(JSON.stringify(body)).not.toContain('hunter2')
  })

  it('keeps tenants apart', async () => {
    const made = await ask('/v1/invoices', 'acme', { method: 'POST', body: '{"customer":"c","cents":5}' })
    expect(made.status).toBe(201)
    const path = `/v1/invoices/${made.body.invoice.id}`
    expect((await ask(path, 'acme')).status).toBe(200)
    expect((await ask(path, 'globex')).status).toBe(404)
    expect((await ask('/v1/invoices', 'acme')).body.invoices).toHaveLength(3)
    expect((await ask('/v1/invoices', 'globex')).body.invoices).toHaveLength(2)
  })

  it.each([
    ['/v1/invoices', '', 'GET', 400],
    ['/v1/invoices', 'A; DROP', 'GET', 400],
    ['/v1/other', 'acme', 'GET', 404],
    ['/v1/invoices/2026-0001', 'acme', 'DELETE', 405],
    ['/v1/invoices', 'acme', 'POST', 400],
  ])('%s as %j by %s is %d', async (path, tenant, method, status) => {
    expect((await ask(path, tenant, { method })).status).toBe(status)
  })
})
