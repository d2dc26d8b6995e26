export type Slot = 'a' | 'b'

const reserved = ['postern', 'cassandra', 'system']

/** What is wrong with a permission role's name (contract 10), or null. Role statements are text without bind markers: nothing else may get in. */
export const wrongRole = (name: string): string | null => {
  if (!/^[a-z][a-z0-9_]{0,37}$/.test(name)) return `"${name}" is not a role name; write 1 to 38 of a-z, 0-9 and "_", a letter first.`
  const word = reserved.find(candidate => name === candidate || name.startsWith(`${candidate}_`))
  return word === undefined ? null : `"${name}" starts with the reserved word ${word}.`
}

/** The login role of a permission role's slot. */
export const slotName = (role: string, slot: Slot): string => {
  const wrong = wrongRole(role)
  if (wrong !== null) throw new Error(wrong)
  return `postern_${role}_${slot}`
}

export const otherSlot = (slot: Slot): Slot => (slot === 'a' ? 'b' : 'a')
