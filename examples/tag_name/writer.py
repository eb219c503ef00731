import weft

memory = weft.mmap(-1, 4096, tagname="mysharename")
memory[0:5] = b"hello"
while memory[5] != 1:  # until the reader has seen it
    pass
print("the reader answered:", memory[6:11].decode())
