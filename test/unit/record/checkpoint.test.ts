import { createHash, createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { type Checkpoint, keyId, noteIsSigned, noteSigner, readNotes } from '../../../src/record/checkpoint.ts'
import { MerkleTree, toBase64 } from '../../../src/record/merkle.ts'

const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const tree = new MerkleTree()
tree.append(Buffer.from('one'))
const one = tree.root()
tree.append(Buffer.from('two'))
const checkpoint: Checkpoint = { origin: 'postern/pod-1', size: 2, root: tree.root(), time: 1234, marks: [{ size: 1, root: one }] }
const text = noteSigner(privateKey)(checkpoint)

describe('a checkpoint', () => {
  it('has the form of C2SP tlog-checkpoint and signed-note', () => {
    const lines = text.split('\n')
    expect(lines.slice(0, 6)).toEqual(['postern/pod-1', '2', toBase64(checkpoint.root), 'time 1234', `mark 1 ${toBase64(one)}`, ''])
    expect(lines[6]).toMatch(/^— postern\/pod-1 [A-Za-z0-9+/]+=*$/)
    expect(lines.slice(7)).toEqual(['', ''])
  })

  it('carries the key id of the specification before an Ed25519 signature of the text with its last LF', () => {
    const raw = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32)
    const id = createHash('sha256').update('postern/pod-1\n').update(Buffer.of(1)).update(raw).digest().subarray(0, 4)
    const signature = Buffer.from(text.split('\n')[6]!.split(' ')[2]!, 'base64')
    expect(signature.subarray(0, 4)).toEqual(id)
    expect(keyId('postern/pod-1', publicKey)).toEqual(id)
    expect(verify(null, Buffer.from(text.slice(0, text.indexOf('\n\n') + 1)), publicKey, signature.subarray(4))).toBe(true)
  })

  it('is read back as it was written, however many follow one another', () => {
    const { notes, broken, torn } = readNotes(text + text)
    expect({ broken, torn, count: notes.length }).toEqual({ broken: null, torn: false, count: 2 })
    expect(notes[1]?.checkpoint).toEqual(checkpoint)
    expect(notes.map(note => note.text).join('')).toBe(text + text)
  })

  it('is signed by its key under its name only', () => {
    const note = readNotes(text).notes[0]!
    const stranger = createPublicKey(generateKeyPairSync('ed25519').privateKey)
    expect(noteIsSigned(note, 'postern/pod-1', publicKey)).toBe(true)
    expect(noteIsSigned(note, 'postern/pod-2', publicKey)).toBe(false)
    expect(noteIsSigned(note, 'postern/pod-1', stranger)).toBe(false)
    expect(noteIsSigned({ ...note, body: note.body.replace('time 1234', 'time 1235') }, 'postern/pod-1', publicKey)).toBe(false)
    expect(noteIsSigned({ ...note, signatures: [] }, 'postern/pod-1', publicKey)).toBe(false)
  })

  it.each([
    ['a size with a leading zero', text.replace('\n2\n', '\n02\n')],
    ['a root of another length', text.replace(toBase64(checkpoint.root), 'AAAA')],
    ['no time', text.replace('time 1234\n', '')],
    ['a mark that is none', text.replace('mark 1', 'mark x')],
    ['a signature line without its dash', text.replace('—', '-')],
  ])('with %s is not well formed', (_, bad) => {
    expect(readNotes(text + bad)).toMatchObject({ broken: 2, torn: false })
  })

  it('cut off at any byte is torn, never another checkpoint', () => {
    for (let end = 1; end < text.length - 1; end++) {
      const { notes, broken, torn } = readNotes(text + text.slice(0, end))
      expect(notes).toHaveLength(1)
      expect(torn || broken === 2).toBe(true)
    }
  })
})
