import type { Composition } from '../src/policy/compose.ts'
import type { Against } from '../src/policy/tools/again.ts'
import { exit, type Io } from './io.ts'
import { count, loadPolicies, printWithSource } from './policies.ts'

/** The policies of a folder, all in order, or what is wrong with them and the exit code. */
export const readRevisionOrFolder = async (command: string, name: string, io: Io): Promise<Against | number> => {
  const policies = await loadPolicies(command, { dir: name, config: undefined, names: [] }, io)
  if (typeof policies === 'number') return policies
  const errors = policies.findings.filter(finding => finding.severity === 'error')
  const against = policies.composition && againstOf(policies.composition)
  if (errors.length > 0 || !against) {
    // A tenant that is refused would seem to lose everything.
    printWithSource(errors, policies.files, { ...io, out: io.err })
    io.err(
      `postern ${command}: ${name} has ${count(errors.length, 'error')}; nothing is decided by a policy that would not come into force.\n`,
    )
    return exit.usage
  }
  return against
}

/** Every tenant in force. Null where the platform file is refused: nothing is in force without it. */
export const againstOf = ({ platform, entries }: Composition): Against | null => {
  const tenants = [...entries.values()].flatMap(({ enforced }) =>
    enforced?.policy && enforced.recognise ? [{ policy: enforced.policy, recognise: enforced.recognise }] : [],
  )
  return platform.policy && { platform: platform.policy, tenants }
}
