// The example at the end of the page "Ingest — Webhook", unchanged but for the address.
async function flushBatch(changes: Array<{ id: string; action: 'upsert' | 'delete' }>) {
  const response = await fetch(
    `${process.env.SEMILAYER_URL}/v1/ingest/products`,
    {
      method: 'POST',
      headers: {
        'Authorization': `Bearer ${process.env.SEMILAYER_INGEST_KEY}`,
        'Content-Type':  'application/json',
      },
      body: JSON.stringify({ mode: 'records', changes }),
    },
  )

  if (response.status === 429) {
    const retryAfter = Number(response.headers.get('retry-after')) || 30
    await new Promise((r) => setTimeout(r, retryAfter * 1000))
    return flushBatch(changes)      // retry
  }

  if (!response.ok) {
    throw new Error(`ingest failed: ${response.status} ${await response.text()}`)
  }

  return response.json()            // { jobId, status, changesBuffered }
}
