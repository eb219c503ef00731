import weft

memory = weft.mmap(-1, 4096, tagname="mysharename")
while memory[0:5] != b"hello":
    pass
print("the writer wrote:", memory[0:5].decode())
memory[6:11] = b"howdy"
memory[5] = 1
