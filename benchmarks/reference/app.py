"""A conventional server for the same task, as most people would write it: FastAPI, PostgreSQL, ffmpeg as a subprocess.

It signs up, takes a WAV in a request, and returns the MP3; it does none of the checking that the service does. With
BLOCKING=1 the async handler runs ffmpeg by `subprocess.run`, which is what is met most; without, by asyncio's own.

    DATABASE_URL=postgresql://... AUDIO=folder FFMPEG=ffmpeg uvicorn benchmarks.reference.app:app
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import FileResponse
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel

AUDIO = Path(os.environ["AUDIO"])
FFMPEG = os.environ["FFMPEG"]
BLOCKING = os.environ.get("BLOCKING") == "1"
TABLES = """
CREATE TABLE IF NOT EXISTS users (id bigserial PRIMARY KEY, name text NOT NULL, token uuid NOT NULL);
CREATE TABLE IF NOT EXISTS records (id uuid PRIMARY KEY, user_id bigint REFERENCES users, name text NOT NULL);
"""

pool = AsyncConnectionPool(os.environ["DATABASE_URL"], min_size=4, max_size=16, open=False)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    await pool.open()
    async with pool.connection() as connection:
        await connection.execute(TABLES)
    yield
    await pool.close()


app = FastAPI(lifespan=lifespan)


class NewUser(BaseModel):
    name: str


@app.post("/users", status_code=201)
async def create_user(new: NewUser) -> dict[str, Any]:
    token = uuid.uuid4()
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "INSERT INTO users (name, token) VALUES (%s, %s) RETURNING id", (new.name, token)
        )
        row = await cursor.fetchone()
    assert row
    return {"id": row[0], "token": str(token)}


@app.post("/records", status_code=201)
async def create_record(
    request: Request, user_id: int, token: uuid.UUID, name: str = "recording.wav"
) -> dict[str, Any]:
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT 1 FROM users WHERE id = %s AND token = %s", (user_id, token))
        if await cursor.fetchone() is None:
            raise HTTPException(401)
    record_id = uuid.uuid4()
    source, target = AUDIO / f"{record_id}.wav", AUDIO / f"{record_id}.mp3"
    source.write_bytes(await request.body())
    command = [FFMPEG, "-loglevel", "error", "-y", "-i", str(source), "-b:a", "128k", str(target)]
    try:
        if BLOCKING:
            status = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
        else:
            process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.DEVNULL)
            status = await process.wait()
    finally:
        source.unlink()
    if status:
        raise HTTPException(415)
    async with pool.connection() as connection:
        await connection.execute("INSERT INTO records VALUES (%s, %s, %s)", (record_id, user_id, name))
    return {"id": str(record_id), "url": f"{request.base_url}record?id={record_id}&user={user_id}"}


@app.get("/record")
async def get_record(id: uuid.UUID, user: int) -> FileResponse:
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT 1 FROM records WHERE id = %s AND user_id = %s", (id, user))
        if await cursor.fetchone() is None:
            raise HTTPException(404)
    return FileResponse(AUDIO / f"{id}.mp3", media_type="audio/mpeg")
