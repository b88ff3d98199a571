"""What may hold or refuse an effect. `def` decides, `async def` reads; the order is that of `chain`."""
