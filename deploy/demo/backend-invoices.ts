import { randomUUID } from 'node:crypto'
import type { Client } from 'cassandra-driver'

export interface Invoice {
  readonly id: string
  readonly customer: string
  readonly cents: number
  readonly status: string
}

/** The invoices of one tenant, wherever they are. */
export interface Invoices {
  list(): Promise<readonly Invoice[]>
  find(id: string): Promise<Invoice | null>
  add(customer: string, cents: number): Promise<Invoice>
}

const year = 2026
const newInvoice = (customer: string, cents: number): Invoice => ({
  id: `${year}-${randomUUID().slice(0, 8)}`,
  customer,
  cents,
  status: 'open',
})

/** The tenant names a keyspace; Postern allows only its own, and the database role is limited to it as well. */
export const cassandraInvoices = (client: Client, tenant: string): Invoices => {
  // The one thing that cannot be bound to a marker.
  if (!/^[a-z][a-z0-9_]{0,47}$/.test(tenant)) throw new Error('not a keyspace')
  const run = (cql: string, params: readonly unknown[]) => client.execute(cql, [...params], { prepare: true })
  const invoice = (row: Record<string, unknown>): Invoice => ({
    id: String(row['id']),
    customer: String(row['customer']),
    cents: Number(row['cents']),
    status: String(row['status']),
  })
  return {
    list: async () =>
      (await run(`SELECT id, customer, cents, status FROM ${tenant}.invoices WHERE year = ? LIMIT 100`, [year])).rows.map(invoice),
    find: async id => {
      const { rows } = await run(`SELECT id, customer, cents, status FROM ${tenant}.invoices WHERE year = ? AND id = ?`, [year, id])
      return rows[0] ? invoice(rows[0]) : null
    },
    add: async (customer, cents) => {
      const made = newInvoice(customer, cents)
      const values = [year, made.id, customer, cents, made.status]
      await run(`INSERT INTO ${tenant}.invoices (year, id, customer, cents, status) VALUES (?, ?, ?, ?, ?)`, values)
      return made
    },
  }
}

/** Stands in for the database where there is none. */
export const memoryInvoices = (): ((tenant: string) => Invoices) => {
  const tenants = new Map<string, Map<string, Invoice>>()
  const sample = (tenant: string): Map<string, Invoice> =>
    new Map(
      [
        { id: `${year}-0001`, customer: `First customer of ${tenant}`, cents: 129_900, status: 'paid' },
        { id: `${year}-0002`, customer: `Second customer of ${tenant}`, cents: 45_000, status: 'open' },
      ].map(invoice => [invoice.id, invoice]),
    )
  return tenant => {
    const mine = tenants.get(tenant) ?? sample(tenant)
    tenants.set(tenant, mine)
    return {
      list: async () => [...mine.values()].slice(0, 100),
      find: async id => mine.get(id) ?? null,
      add: async (customer, cents) => {
        const made = newInvoice(customer, cents)
        mine.set(made.id, made)
        return made
      },
    }
  }
}
