import { Counter, Gauge as PromGauge, type Registry } from 'prom-client'

export type Sample = readonly [labels: Readonly<Record<string, string>>, value: number]

/** A metric that asks its source at each scrape. */
export const asked = (
  registry: Registry,
  kind: 'gauge' | 'counter',
  name: string,
  help: string,
  labelNames: readonly string[],
  read: () => readonly Sample[],
): void => {
  const shared = { name, help, labelNames, registers: [registry] }
  if (kind === 'gauge')
    new PromGauge({
      ...shared,
      collect() {
        this.reset()
        for (const [labels, value] of read()) this.set(labels, value)
      },
    })
  else
    new Counter({
      ...shared,
      collect() {
        this.reset()
        for (const [labels, value] of read()) this.inc(labels, value)
      },
    })
}

/** Registers a gauge that asks its source at each scrape. */
export type Gauge = (name: string, help: string, labelNames: readonly string[], read: () => readonly Sample[]) => void
