import type { CutDone } from '../../src/credentials/acts.ts'

/** What a cut took on each node, for whoever runs the tests. */
export const printCut = (name: string, { nodes, reached, revoked }: CutDone): void => {
  const shown = (ms: number | null): string => (ms === null ? 'never' : `${ms} ms`)
  for (const { host, loginMs, connectionMs, dataMs, open } of nodes)
    process.stderr.write(
      `cut, ${name}, ${host}: login dead ${shown(loginMs)}, connection dead ${shown(connectionMs)}, data dead ${shown(dataMs)}, ${open?.count} open, revoked ${revoked}, ${reached}\n`,
    )
}
