// The microphone: mono 16-bit samples at the rate that the device has.

const CAPTURE = new URL('./capture.js', import.meta.url);
/** How long (ms) the last block is waited for: a context that the system has stopped has none to give. */
const FAREWELL = 2000;
fetch(CAPTURE).catch(() => {}); // so that it is there when the network no longer is: recording needs none

/**
 * Opens the microphone and calls onBlock({samples: ArrayBuffer, peak: 0..1}) some 20 times a second, and onLost() when
 * the device goes away. Gives {sampleRate, stop()}; stop() returns when the last block was handed over.
 * Throws a DOMException named as getUserMedia's, or 'insecure'.
 */
export async function openMicrophone({ onBlock, onLost }) {
  if (!navigator.mediaDevices?.getUserMedia || !window.AudioWorkletNode) {
    throw new DOMException('no microphone without https', 'insecure');
  }
  // The context is made at once, still within the person's gesture: some browsers keep it silent otherwise.
  const context = new AudioContext();
  let stream, node;
  try {
    // What would clean up a telephone call only takes away from a recording.
    const audio = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true };
    stream = await navigator.mediaDevices.getUserMedia({ audio });
    await context.audioWorklet.addModule(CAPTURE);
    await context.resume();
    node = new AudioWorkletNode(context, 'capture', { channelCount: 1, channelCountMode: 'explicit' });
    context.createMediaStreamSource(stream).connect(node).connect(context.destination); // unconnected, it may not run
  } catch (error) {
    stream?.getTracks().forEach((track) => track.stop());
    await context.close();
    throw error;
  }
  const over = new Promise((resolve) => {
    node.port.onmessage = ({ data }) => (data ? onBlock(data) : resolve());
  });
  stream.getAudioTracks()[0].onended = onLost;
  // A call or another app may have stopped the context.
  context.onstatechange = () => context.state === 'suspended' && context.resume();

  return {
    sampleRate: context.sampleRate,
    async stop() {
      context.onstatechange = null;
      node.port.postMessage('stop');
      await Promise.race([over, new Promise((resolve) => setTimeout(resolve, FAREWELL))]);
      stream.getTracks().forEach((track) => track.stop());
      await context.close();
    },
  };
}
